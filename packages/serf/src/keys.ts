import { readFile, rename, writeFile } from 'node:fs/promises';
import { SerfError } from './errors.js';
import type { QueryHandle } from './query.js';
import { decodeKeyRequest, decodeKeyResponse, encodeKeyRequest, type KeyResponse } from './wire/internal.js';
import { Keyring, parseKey } from './wire/keyring.js';
import { WireError } from './wire/msgpack.js';

/** What all members said to a change or listing of keys. */
export interface KeyReport {
  /** Members that are alive, members that answered, and those of them that could not do it. */
  readonly nodes: number;
  readonly answers: number;
  readonly errors: number;
  /** What a member had to say, by its name. */
  readonly messages: ReadonlyMap<string, string>;
  /** For a list: how many members have each key, in base64; likewise for the key they send with. */
  readonly keys: ReadonlyMap<string, number>;
  readonly primaryKeys: ReadonlyMap<string, number>;
}

export interface KeyManagerSetup {
  readonly keyring: Keyring | undefined;
  readonly file: string | undefined;
  readonly query: (name: string, payload: Uint8Array) => QueryHandle;
  readonly memberCount: () => number;
}

/**
 * Changes the keys of the whole pool by asking every member, this one included. To rotate: `install` the new key,
 * `use` it, `remove` the old one, and look at each report before the next step.
 */
export class KeyManager {
  readonly #setup: KeyManagerSetup;
  /** Writes of the file, one after the other. */
  #saving: Promise<void> = Promise.resolve();

  constructor(setup: KeyManagerSetup) {
    this.#setup = setup;
  }

  get isEncrypted(): boolean {
    return this.#setup.keyring !== undefined;
  }

  /** Every member adds the key, given in base64. */
  install(key: string): Promise<KeyReport> {
    return this.#ask('_serf_install-key', parseKey(key));
  }

  /** Every member sends with the key from now on. */
  use(key: string): Promise<KeyReport> {
    return this.#ask('_serf_use-key', parseKey(key));
  }

  /** Every member forgets the key. */
  remove(key: string): Promise<KeyReport> {
    return this.#ask('_serf_remove-key', parseKey(key));
  }

  list(): Promise<KeyReport> {
    return this.#ask('_serf_list-keys', new Uint8Array(0));
  }

  /** This member's answer to a key query; the change is on disk before it is said to be done. */
  async answer(query: string, payload: Uint8Array): Promise<KeyResponse> {
    const { keyring } = this.#setup;
    const failure = (message: string): KeyResponse => ({ ok: false, message, keys: [], primary: '' });
    if (keyring === undefined) return failure('Keyring is empty (encryption not enabled)');
    try {
      if (query === '_serf_list-keys') {
        const keys = keyring.toBase64();
        return { ok: true, message: '', keys, primary: keys[0]! };
      }
      const key = decodeKeyRequest(payload);
      if (query === '_serf_install-key') keyring.install(key);
      else if (query === '_serf_use-key') keyring.use(key);
      else keyring.remove(key);
      await this.#save(keyring);
      return { ok: true, message: '', keys: [], primary: '' };
    } catch (error) {
      if (error instanceof SerfError || error instanceof WireError) return failure(error.message);
      throw error;
    }
  }

  #save(keyring: Keyring): Promise<void> {
    const { file } = this.#setup;
    if (file === undefined) return Promise.resolve();
    const save = this.#saving.then(() => writeKeyring(keyring, file));
    this.#saving = save.catch(() => {});
    return save;
  }

  async #ask(name: string, key: Uint8Array): Promise<KeyReport> {
    const nodes = this.#setup.memberCount();
    const messages = new Map<string, string>();
    const keys = new Map<string, number>();
    const primaryKeys = new Map<string, number>();
    let [answers, errors] = [0, 0];
    const handle = this.#setup.query(name, encodeKeyRequest(key));
    for await (const item of handle) {
      if (item.type !== 'response') continue;
      answers++;
      try {
        const response = decodeKeyResponse(item.payload);
        if (!response.ok) errors++;
        if (response.message !== '') messages.set(item.from, response.message);
        for (const one of response.keys) keys.set(one, (keys.get(one) ?? 0) + 1);
        if (response.primary !== '') primaryKeys.set(response.primary, (primaryKeys.get(response.primary) ?? 0) + 1);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        errors++;
        messages.set(item.from, error.message);
      }
      // Nobody is left to answer: the rest of the timeout would be waited for nothing.
      if (answers >= nodes) break;
    }
    return { nodes, answers, errors, messages, keys, primaryKeys };
  }
}

/** Keys of the file where it exists, otherwise those of the option, which then begin the file. */
export async function loadKeyring(option: Keyring | undefined, file: string | undefined): Promise<Keyring | undefined> {
  if (file === undefined) return option;
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT' || option === undefined)
      throw new SerfError('keyring', `the keyring file ${file} cannot be read: ${(cause as Error).message}`, { cause });
    await writeKeyring(option, file);
    return option;
  }
  let keys: unknown;
  try {
    keys = JSON.parse(text);
  } catch (cause) {
    throw new SerfError('keyring', `the keyring file ${file} is not JSON`, { cause });
  }
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string'))
    throw new SerfError('keyring', `the keyring file ${file} holds no array of keys in base64`);
  return Keyring.fromBase64(keys);
}

async function writeKeyring(keyring: Keyring, file: string): Promise<void> {
  const draft = `${file}.new`;
  try {
    await writeFile(draft, `${JSON.stringify(keyring.toBase64(), null, 2)}\n`, { mode: 0o600, flush: true });
    await rename(draft, file);
  } catch (cause) {
    throw new SerfError('keyring', `the keyring file ${file} cannot be written: ${(cause as Error).message}`, {
      cause,
    });
  }
}
