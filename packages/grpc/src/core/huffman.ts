/**
 * Code lengths in bits of the symbols 0 to 255 and of end-of-string (RFC 7541 Appendix B). The code is canonical: codes
 * of one length are consecutive numbers in the order of their symbols, and longer ones follow shorter ones, so the
 * lengths are the whole table.
 */
const codeLengths: readonly number[] = [
  ...[13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  ...[28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  ...[6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  ...[5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  ...[13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  ...[7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  ...[15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  ...[6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  ...[20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  ...[24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  ...[22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  ...[21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  ...[26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  ...[19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  ...[20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  ...[26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
  30,
];

const endOfString = 256;
const maxLength = 30;

/** Symbols in the order of their codes. */
const sorted: readonly number[] = codeLengths
  .map((_, symbol) => symbol)
  .sort((a, b) => codeLengths[a]! - codeLengths[b]! || a - b);
/** By length: the first code, and where its symbol is in `sorted`. One more than the last code of a length is the end. */
const firstCode = new Float64Array(maxLength + 1);
const firstAt = new Uint16Array(maxLength + 1);
const codesOf = new Uint16Array(maxLength + 1);
/** For the next eight bits: symbol × 16 + length where a code of at most eight bits begins them, else 0. */
const short = new Uint16Array(256);

{
  let code = 0;
  let at = 0;
  for (let length = 1; length <= maxLength; length++) {
    firstCode[length] = code;
    firstAt[length] = at;
    while (at < sorted.length && codeLengths[sorted[at]!] === length) {
      if (length <= 8) short.fill(sorted[at]! * 16 + length, code << (8 - length), (code + 1) << (8 - length));
      code++;
      at++;
      codesOf[length]!++;
    }
    code *= 2;
  }
}

/**
 * The text, one character a byte, that `bytes[start, end)` hold as Huffman code; undefined where they are none: padding
 * of eight bits or more or of other bits than ones, or an end-of-string symbol (RFC 7541 §5.2).
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = '';
  /** The bits not yet decoded, at most 37: a number, because 32 are not enough. */
  let bits = 0;
  let count = 0;
  let at = start;
  for (;;) {
    while (count < 8 && at < end) {
      bits = bits * 256 + bytes[at++]!;
      count += 8;
    }
    if (count === 0) return text;
    const eight = count >= 8 ? Math.floor(bits / 2 ** (count - 8)) : bits * 2 ** (8 - count) + (2 ** (8 - count) - 1);
    const found = short[eight]!;
    const length = found & 15;
    if (length > 0 && length <= count) {
      text += String.fromCharCode(found >> 4);
      count -= length;
      bits %= 2 ** count;
      continue;
    }
    // Nothing but padding is left when fewer than eight bits are, and all of them are ones.
    if (count < 8) return bits === 2 ** count - 1 ? text : undefined;
    let long = 9;
    for (; ; long++) {
      if (long > maxLength) return undefined;
      while (count < long) {
        // A code that the string cuts off is padding only if it is shorter than a byte.
        if (at >= end) return count < 8 && bits === 2 ** count - 1 ? text : undefined;
        bits = bits * 256 + bytes[at++]!;
        count += 8;
      }
      const place = Math.floor(bits / 2 ** (count - long)) - firstCode[long]!;
      if (place < 0 || place >= codesOf[long]!) continue;
      const symbol = sorted[firstAt[long]! + place]!;
      if (symbol === endOfString) return undefined;
      text += String.fromCharCode(symbol);
      count -= long;
      bits %= 2 ** count;
      break;
    }
  }
}
