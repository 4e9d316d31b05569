import {
  type Command,
  type CommandHandler,
  CommandType,
  ConditionType,
  type Found,
  type ReadOptions,
  type Reply,
  ReplyType,
  type RequestOptions,
  type ServerInfo,
} from '@dcache/protocol';

/** A cache in a Map, for tests of the protocols; a test can hold its answers back. */
export class FakeCache implements CommandHandler {
  readonly values: Map<string, Found> = new Map();
  readonly commands: Command[] = [];
  revision = 0;
  /** Awaited before each answer. */
  gate: Promise<unknown> = Promise.resolve();
  failure: Error | undefined;
  onRead: () => void = () => {};
  /** What the last request was given as the end of its client's patience. */
  deadlineMs: number | undefined;

  async write(command: Command, options: RequestOptions = {}): Promise<Reply> {
    this.deadlineMs = options.deadlineMs;
    this.commands.push(command);
    await this.gate;
    if (this.failure) throw this.failure;
    const key = 'key' in command ? Buffer.from(command.key).toString('latin1') : '';
    const failed = this.#failedCondition(key, command);
    if (failed) return failed;
    if (command.type === CommandType.set) {
      const { value, flags } = command;
      this.values.set(key, { value: value.slice(), revision: ++this.revision, expiresAtMs: 0, flags });
      return { type: ReplyType.ok, revision: this.revision };
    }
    return this.values.delete(key)
      ? { type: ReplyType.ok, revision: ++this.revision }
      : { type: ReplyType.notFound, revision: 0 };
  }

  async read(key: Uint8Array, options: ReadOptions = {}): Promise<Found | undefined> {
    this.deadlineMs = options.deadlineMs;
    this.onRead();
    await this.gate;
    if (this.failure) throw this.failure;
    return this.values.get(Buffer.from(key).toString('latin1'));
  }

  async readMany(keys: readonly Uint8Array[], options: ReadOptions = {}): Promise<readonly (Found | undefined)[]> {
    return Promise.all(keys.map((key) => this.read(key, options)));
  }

  #failedCondition(key: string, command: Command): Reply | undefined {
    const condition = 'condition' in command ? command.condition : undefined;
    if (!condition) return undefined;
    const revision = this.values.get(key)?.revision ?? 0;
    const holds = {
      [ConditionType.absent]: revision === 0,
      [ConditionType.present]: revision !== 0,
      [ConditionType.revision]: revision === condition.revision,
    };
    return holds[condition.type] ? undefined : { type: ReplyType.preconditionFailed, revision };
  }

  servers(): readonly ServerInfo[] {
    return [{ id: 'n1', rpcAddr: '127.0.0.1:9200', isLeader: true, voteStatus: 'Voter' }];
  }
}
