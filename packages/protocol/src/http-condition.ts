import { type Condition, ConditionType } from './command.js';
import { DcacheError } from './errors.js';

/*
 * If-Match and If-None-Match (RFC 9110 §13.1.1, §13.1.2). The ETag of a value is its revision, a strong one:
 *
 *   on a read   If-Match first, 412 where none of its ETags is the value's, compared strongly; then If-None-Match, 304
 *               where one is, compared weakly (§13.2.2). A missing key is 404 whatever they say (§13.2.1).
 *   on a write  what the log can decide in one entry: If-None-Match: *, If-Match: *, or If-Match with one ETag of ours;
 *               others beside it never match. More is refused and never ignored. A delete of a missing key is 404.
 *
 * If-Modified-Since, If-Unmodified-Since and If-Range are ignored, as the RFC asks where there are neither dates nor
 * ranges.
 */

type Header = string | readonly string[] | undefined;

/** What a header lists: anything that exists, or ETags as they were written, `W/` included. */
export type EtagList = '*' | readonly string[];

/** The conditions of a read. */
export interface ReadConditions {
  readonly ifMatch: EtagList | undefined;
  readonly ifNoneMatch: EtagList | undefined;
}

/** The ETag of a revision: a strong one, RFC 9110 §8.8.3. */
export function formatEtag(revision: number): string {
  return `"${revision}"`;
}

/** Throws `bad-argument` for a header that is no list of ETags. */
export function parseReadConditions(match: Header, noneMatch: Header): ReadConditions {
  return { ifMatch: parseEtags('If-Match', match), ifNoneMatch: parseEtags('If-None-Match', noneMatch) };
}

/**
 * What a read of a value that is there answers: it, 304, or 412.
 * @returns `unchanged` where the client has what was found, `failed` where it wants another value
 */
export function judgeRead(
  { ifMatch, ifNoneMatch }: ReadConditions,
  revision: number,
): 'found' | 'unchanged' | 'failed' {
  const etag = formatEtag(revision);
  if (ifMatch !== undefined && ifMatch !== '*' && !ifMatch.includes(etag)) return 'failed';
  if (ifNoneMatch === undefined) return 'found';
  const isListed = ifNoneMatch === '*' || ifNoneMatch.some((one) => one === etag || one === `W/${etag}`);
  return isListed ? 'unchanged' : 'found';
}

/** No value ever has it: at a million writes a second it would take 285 years to get there. */
const neverRevision = Number.MAX_SAFE_INTEGER;

/**
 * The condition of a write, undefined where there is none; one that never holds where no ETag of the list can be a
 * value's: whether the client may write and whether the key is there is asked before. Throws `bad-argument` for what a
 * write does not take.
 */
export function parseWriteCondition(match: Header, noneMatch: Header): Condition | undefined {
  const ifNoneMatch = parseEtags('If-None-Match', noneMatch, 'a write takes *');
  const ifMatch = parseEtags('If-Match', match, 'a write takes * or one ETag in quotes, such as "42"');
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch !== '*' || ifMatch !== undefined)
      throw new DcacheError('bad-argument', 'a write takes either If-None-Match: * or If-Match with * or one ETag');
    return { type: ConditionType.absent, revision: 0 };
  }
  if (ifMatch === undefined) return undefined;
  if (ifMatch === '*') return { type: ConditionType.present, revision: 0 };
  const revisions = new Set(ifMatch.map(revisionOf).filter((revision) => revision !== undefined));
  if (revisions.size > 1)
    throw new DcacheError(
      'bad-argument',
      'If-Match of a write takes * or one ETag as this server gave it, such as "42"',
    );
  const [revision = neverRevision] = revisions;
  return { type: ConditionType.revision, revision };
}

/** The revision that an ETag of ours names; undefined for a weak one, which If-Match never matches, and for any other. */
function revisionOf(etag: string): number | undefined {
  const digits = /^"([1-9]\d{0,15})"$/.exec(etag)?.[1];
  return digits !== undefined && Number.isSafeInteger(Number(digits)) ? Number(digits) : undefined;
}

/** `entity-tag` of RFC 9110 §8.8.3 with the commas and spaces around it; a list may have empty elements (§5.6.1). */
const element = /[\t ,]*((?:W\/)?"[!\x23-\x7e\x80-\xff]*")[\t ]*(?=,|$)/y;
const takesList = 'it takes * or ETags in quotes, such as "42", with commas between';
const nothing = /^[\t ,]*$/;

function parseEtags(name: string, header: Header, takes = takesList): EtagList | undefined {
  if (header === undefined) return undefined;
  const text = typeof header === 'string' ? header : header.join();
  if (text.trim() === '*') return '*';
  const etags: string[] = [];
  let at = 0;
  for (;;) {
    element.lastIndex = at;
    const found = element.exec(text);
    if (!found) break;
    etags.push(found[1]!);
    at = element.lastIndex;
  }
  if (etags.length === 0 || !nothing.test(text.slice(at)))
    // As it was sent: quotes around it would look like those that it lacks.
    throw new DcacheError('bad-argument', `${name} is ${text.trim().slice(0, 80) || 'empty'}; ${takes}`);
  return etags;
}
