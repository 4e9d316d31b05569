import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { equalBytes } from '@dcache/base';
import { SerfError } from '../errors.js';
import { WireError } from './msgpack.js';

/*
 *     ver:u8 │ nonce:12 │ ciphertext │ tag:16          AES-GCM
 *
 * Version 1 encrypts the message as it is, version 0 pads it to 16 bytes first (PKCS #7). We send 1 and take both.
 */
const nonceBytes = 12;
const tagBytes = 16;
const blockBytes = 16;

/** Bytes that encryption adds to a packet. */
export const encryptionOverheadBytes: number = 1 + nonceBytes + tagBytes;

const noAad: Uint8Array = new Uint8Array(0);

/** More keys are not installed: each costs a trial decryption of every bad packet. */
const maxKeys = 64;

/**
 * The keys of a pool, the first one for sending, all of them for receiving; so keys are changed without a pause:
 * install the new one everywhere, use it, remove the old one.
 */
export class Keyring {
  #keys: Uint8Array[] = [];

  /** Takes keys of 16, 24 or 32 bytes (AES-128, -192, -256), the one to send with first; at least one. */
  constructor(keys: readonly Uint8Array[]) {
    for (const key of keys) this.install(key);
    if (this.#keys.length === 0) throw new SerfError('keyring', 'a keyring needs at least one key');
  }

  /** Keys in base64, as the `serf` command line takes them. */
  static fromBase64(keys: readonly string[]): Keyring {
    return new Keyring(keys.map(parseKey));
  }

  get keys(): readonly Uint8Array[] {
    return this.#keys;
  }

  get primary(): Uint8Array {
    return this.#keys[0]!;
  }

  toBase64(): string[] {
    return this.#keys.map((key) => Buffer.from(key).toString('base64'));
  }

  has(key: Uint8Array): boolean {
    return this.#keys.some((known) => equalBytes(known, key));
  }

  /** Adds a key at the end; one that is there stays where it is. */
  install(key: Uint8Array): void {
    if (!isKeyLength(key.length))
      throw new SerfError('keyring', `it has ${key.length} bytes; a key is 16, 24 or 32 bytes`);
    if (this.has(key)) return;
    if (this.#keys.length >= maxKeys) throw new SerfError('keyring', `the keyring is full with ${maxKeys} keys`);
    this.#keys.push(new Uint8Array(key));
  }

  /** Makes an installed key the one to send with. */
  use(key: Uint8Array): void {
    if (!this.has(key)) throw new SerfError('keyring', 'Requested key is not in the keyring');
    this.#keys = [new Uint8Array(key), ...this.#keys.filter((known) => !equalBytes(known, key))];
  }

  /** Forgets a key; one that is not there is forgotten already. */
  remove(key: Uint8Array): void {
    if (equalBytes(key, this.primary)) throw new SerfError('keyring', 'Removing the primary key is not allowed');
    this.#keys = this.#keys.filter((known) => !equalBytes(known, key));
  }

  encrypt(plain: Uint8Array, aad: Uint8Array = noAad): Uint8Array {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(algorithm(this.primary), this.primary, nonce, { authTagLength: tagBytes });
    cipher.setAAD(aad);
    return Buffer.concat([Uint8Array.of(1), nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** Throws a `WireError` when no key opens it. */
  decrypt(sealed: Uint8Array, aad: Uint8Array = noAad): Uint8Array {
    const version = sealed[0];
    if (version === undefined || sealed.length < encryptionOverheadBytes)
      throw new WireError(`${sealed.length} bytes are too few to be encrypted`);
    if (version > 1) throw new WireError(`encryption version ${version}, allowed are 0 and 1`);
    for (const key of this.#keys) {
      const plain = open(key, sealed, aad);
      if (plain !== undefined) return version === 0 ? unpad(plain) : plain;
    }
    throw new WireError('no installed key opens the message');
  }
}

/** A key from its base64 text. */
export function parseKey(text: string): Uint8Array {
  const key = Buffer.from(text, 'base64');
  if (key.toString('base64').replace(/=+$/, '') !== text.trim().replace(/=+$/, ''))
    throw new SerfError('keyring', `it is not base64; ${keyForm}`);
  if (!isKeyLength(key.length)) throw new SerfError('keyring', `it has ${key.length} bytes; ${keyForm}`);
  return new Uint8Array(key);
}

const keyForm = 'a key is 16, 24 or 32 bytes in base64';

function isKeyLength(bytes: number): boolean {
  return bytes === 16 || bytes === 24 || bytes === 32;
}

function open(key: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array | undefined {
  const nonce = sealed.subarray(1, 1 + nonceBytes);
  const decipher = createDecipheriv(algorithm(key), key, nonce, { authTagLength: tagBytes });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
  const plain = decipher.update(sealed.subarray(1 + nonceBytes, sealed.length - tagBytes));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return plain;
}

function unpad(plain: Uint8Array): Uint8Array {
  const padding = plain[plain.length - 1] ?? 0;
  if (padding < 1 || padding > blockBytes || padding > plain.length)
    throw new WireError(`padding of ${padding} bytes, allowed are 1 to ${blockBytes}`);
  return plain.subarray(0, plain.length - padding);
}

function algorithm(key: Uint8Array): 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm' {
  return key.length === 16 ? 'aes-128-gcm' : key.length === 24 ? 'aes-192-gcm' : 'aes-256-gcm';
}
