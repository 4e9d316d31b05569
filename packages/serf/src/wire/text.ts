import { tryFromUtf8, utf8 } from '@dcache/base';

/**
 * Go strings are bytes; a member's name need not be UTF-8, and to rename it by replacing bytes would make it another
 * member. As in Python's PEP 383, a byte that is not part of valid UTF-8 becomes the lone surrogate U+DC00 + byte,
 * and turns back into that byte when written.
 */
export function decodeText(bytes: Uint8Array): string {
  // Most names and keys are short ASCII, for which a decoder call costs more than the loop.
  if (bytes.length <= 24) {
    let ascii = '';
    for (const byte of bytes) {
      if (byte >= 0x80) return decodeLong(bytes);
      ascii += String.fromCharCode(byte);
    }
    return ascii;
  }
  return decodeLong(bytes);
}

export function encodeText(text: string): Uint8Array {
  return /[\udc80-\udcff]/.test(text) ? encodeEscaped(text) : utf8(text);
}

function decodeLong(bytes: Uint8Array): string {
  return tryFromUtf8(bytes) ?? decodeEscaped(bytes);
}

function decodeEscaped(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at]!;
    const length = byte < 0x80 ? 1 : byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 0;
    const character = length === 0 ? undefined : tryFromUtf8(bytes.subarray(at, at + length));
    if (character === undefined || at + length > bytes.length) {
      text += String.fromCharCode(0xdc00 + byte);
      at += 1;
    } else {
      text += character;
      at += length;
    }
  }
  return text;
}

function encodeEscaped(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const code = character.charCodeAt(0);
    if (character.length === 1 && code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...utf8(character));
  }
  return Uint8Array.from(bytes);
}
