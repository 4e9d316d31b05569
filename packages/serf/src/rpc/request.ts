import { MsgpackReader, TruncatedError, WireError } from '../wire/msgpack.js';

/** Requests of the agent's RPC: a header {Command, Seq}, and for most commands a body right after it. */
export interface RpcRequest {
  readonly command: string;
  readonly seq: number;
  readonly body: RpcBody;
}

/** All fields that any command's body has; those that did not come have their zero value, as in Go. */
interface RpcBody {
  version: number;
  authKey: string;
  name: string;
  status: string;
  node: string;
  type: string;
  key: string;
  logLevel: string;
  prune: boolean;
  coalesce: boolean;
  replay: boolean;
  requestAck: boolean;
  stop: number;
  id: number;
  relayFactor: number;
  /** Nanoseconds. */
  timeout: number;
  payload: Uint8Array;
  existing: string[];
  deleteTags: string[];
  filterNodes: string[];
  tags: Map<string, string>;
  filterTags: Map<string, string>;
}

const withoutBody: ReadonlySet<string> = new Set(['members', 'list-keys', 'stats', 'leave']);
/** Elements of a list or map in a request. */
const maxElements = 4096;
/** A request that is not whole within this is no request. */
const maxRequestBytes = 1 << 20;

/** Takes requests from a stream of bytes. */
export class RequestReader {
  #buffer: Uint8Array = new Uint8Array(0);

  /** The requests that are whole now. Throws a `WireError` when the bytes cannot become one. */
  push(chunk: Uint8Array): RpcRequest[] {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    if (this.#buffer.length > maxRequestBytes)
      throw new WireError(`requests of ${this.#buffer.length} bytes at once, allowed are ${maxRequestBytes}`);
    const requests: RpcRequest[] = [];
    let at = 0;
    while (at < this.#buffer.length) {
      const reader = new MsgpackReader(this.#buffer, at);
      try {
        requests.push(readRequest(reader));
      } catch (error) {
        if (error instanceof TruncatedError) break;
        throw error;
      }
      at = reader.offset;
    }
    this.#buffer = this.#buffer.subarray(at);
    return requests;
  }
}

function readRequest(reader: MsgpackReader): RpcRequest {
  let [command, seq] = ['', 0];
  reader.struct((key) => {
    if (key === 'Command') command = reader.text();
    else if (key === 'Seq') seq = reader.int();
    else return false;
    return true;
  });
  const body = emptyBody();
  if (!withoutBody.has(command)) reader.struct((key) => readField(reader, key, body));
  return { command, seq, body };
}

function readField(reader: MsgpackReader, key: string, body: RpcBody): boolean {
  switch (key) {
    case 'Version':
      body.version = reader.int();
      return true;
    case 'AuthKey':
      body.authKey = reader.text();
      return true;
    case 'Name':
      body.name = reader.text();
      return true;
    case 'Status':
      body.status = reader.text();
      return true;
    case 'Node':
      body.node = reader.text();
      return true;
    case 'Type':
      body.type = reader.text();
      return true;
    case 'Key':
      body.key = reader.text();
      return true;
    case 'LogLevel':
      body.logLevel = reader.text();
      return true;
    case 'Prune':
      body.prune = reader.bool();
      return true;
    case 'Coalesce':
      body.coalesce = reader.bool();
      return true;
    case 'Replay':
      body.replay = reader.bool();
      return true;
    case 'RequestAck':
      body.requestAck = reader.bool();
      return true;
    case 'Stop':
      body.stop = reader.int();
      return true;
    case 'ID':
      body.id = reader.int();
      return true;
    case 'RelayFactor':
      body.relayFactor = reader.uint(255);
      return true;
    case 'Timeout':
      body.timeout = reader.int();
      return true;
    case 'Payload':
      body.payload = new Uint8Array(reader.raw());
      return true;
    case 'Existing':
      body.existing = readTexts(reader);
      return true;
    case 'DeleteTags':
      body.deleteTags = readTexts(reader);
      return true;
    case 'FilterNodes':
      body.filterNodes = readTexts(reader);
      return true;
    case 'Tags':
      body.tags = readTextMap(reader);
      return true;
    case 'FilterTags':
      body.filterTags = readTextMap(reader);
      return true;
    default:
      return false;
  }
}

function emptyBody(): RpcBody {
  return {
    version: 0,
    authKey: '',
    name: '',
    status: '',
    node: '',
    type: '',
    key: '',
    logLevel: '',
    prune: false,
    coalesce: false,
    replay: false,
    requestAck: false,
    stop: 0,
    id: 0,
    relayFactor: 0,
    timeout: 0,
    payload: new Uint8Array(0),
    existing: [],
    deleteTags: [],
    filterNodes: [],
    tags: new Map(),
    filterTags: new Map(),
  };
}

function readTexts(reader: MsgpackReader): string[] {
  const length = bounded(reader.array());
  return Array.from({ length }, () => reader.text());
}

function readTextMap(reader: MsgpackReader): Map<string, string> {
  const map = new Map<string, string>();
  for (let left = bounded(reader.map()); left > 0; left--) map.set(reader.text(), reader.text());
  return map;
}

function bounded(length: number): number {
  if (length > maxElements) throw new WireError(`${length} elements in a request, allowed are ${maxElements}`);
  return length;
}
