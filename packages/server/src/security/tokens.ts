import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DcacheError } from '@dcache/protocol';

/** What a request does, and so what its token must allow. */
export type Access = 'read' | 'write';

interface Token {
  readonly digest: Buffer;
  readonly access: Access;
}

/** A token is long enough not to be guessed, and has no spaces. */
const minTokenLength = 16;

/**
 * The tokens that clients must show, from a file with one a line: the token alone may read and write, `read TOKEN` may
 * only read. Empty lines and lines that begin with `#` say nothing.
 */
export class Tokens {
  readonly #file: string;
  #tokens: readonly Token[];

  /** Throws a `TypeError` that names the file and the line. */
  constructor(file: string) {
    this.#file = file;
    this.#tokens = load(file);
  }

  get file(): string {
    return this.#file;
  }

  /** Reads the file again. Throws as the constructor does, and then goes on with what it had. */
  reload(): void {
    this.#tokens = load(this.#file);
  }

  /** Throws `unauthenticated` without a known token, `forbidden` where it does not allow the access. (RFC 6750) */
  check(authorization: string | undefined, access: Access): void {
    const shown = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
    if (shown === undefined)
      throw new DcacheError('unauthenticated', 'this server asks for a token: authorization: Bearer TOKEN');
    const digest = digestOf(shown);
    let known: Token | undefined;
    // Every token is compared, and by its digest in constant time, so that timing tells nothing of any of them.
    for (const token of this.#tokens) if (timingSafeEqual(token.digest, digest)) known = token;
    if (!known) throw new DcacheError('unauthenticated', 'this server does not know the token');
    if (access === 'write' && known.access === 'read') throw new DcacheError('forbidden', 'this token may only read');
  }
}

function load(file: string): Token[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new TypeError(`--auth-token-file ${file} cannot be read: ${(error as Error).message}`);
  }
  const tokens: Token[] = [];
  text.split(/\r?\n/).forEach((line, i) => {
    if (line.trim() === '' || line.trimStart().startsWith('#')) return;
    const parts = /^\s*(?:(read) +)?(\S+)\s*$/.exec(line);
    if (!parts || parts[2]!.length < minTokenLength)
      throw new TypeError(
        `--auth-token-file ${file} line ${i + 1} is no token; a line is TOKEN or read TOKEN, ${minTokenLength} characters or more without spaces`,
      );
    tokens.push({ digest: digestOf(parts[2]!), access: parts[1] ? 'read' : 'write' });
  });
  if (tokens.length === 0) throw new TypeError(`--auth-token-file ${file} holds no token`);
  return tokens;
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
