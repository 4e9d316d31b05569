import { readFileSync } from 'node:fs';

/** Nothing comes from elsewhere, and nothing on the page may be framed, submitted or made a base of. */
const contentPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The files of the page by the path that serves them; they lie beside `src` as they are, because nothing builds them. */
const files: Readonly<Record<string, readonly [file: string, type: string]>> = {
  '/-': ['index.html', 'text/html; charset=utf-8'],
  '/-/': ['index.html', 'text/html; charset=utf-8'],
  '/-/page.css': ['page.css', 'text/css; charset=utf-8'],
  '/-/page.js': ['page.js', 'text/javascript; charset=utf-8'],
  '/-/chart.js': ['chart.js', 'text/javascript; charset=utf-8'],
  '/-/icon.svg': ['icon.svg', 'image/svg+xml'],
};

export const pagePaths: ReadonlySet<string> = new Set(Object.keys(files));

/** A file of the page with its headers; undefined where the path is none. Read anew each time: nobody waits for it. */
export function pageFile(
  path: string,
):
  | { readonly status: number; readonly content: string; readonly headers: Readonly<Record<string, string>> }
  | undefined {
  if (!Object.hasOwn(files, path)) return undefined;
  const [file, type] = files[path]!;
  return {
    status: 200,
    content: readFileSync(new URL(`../../page/${file}`, import.meta.url), 'utf8'),
    headers: {
      'content-type': type,
      'cache-control': 'no-cache',
      'content-security-policy': contentPolicy,
      'referrer-policy': 'no-referrer',
    },
  };
}
