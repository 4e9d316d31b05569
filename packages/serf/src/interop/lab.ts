import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { freePort, until } from '@dcache/testing';

/** Real Serf agents and our nodes as processes on the loopback, and ways to look at both. */

const peerScript = fileURLToPath(new URL('./peer.js', import.meta.url));

export interface CliResult {
  readonly code: number;
  readonly out: string;
}

/** A member as `serf members -format json` shows it. */
export interface ShownMember {
  readonly name: string;
  readonly addr: string;
  readonly port: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly status: string;
  readonly protocol: { readonly max: number; readonly min: number; readonly version: number };
}

/** Runs the `serf` command line. */
export function serfCli(args: readonly string[]): Promise<CliResult> {
  return new Promise((resolve) => {
    execFile('serf', [...args], { timeout: 60_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, out: `${stdout}${stderr}` });
    });
  });
}

export async function hasSerf(): Promise<boolean> {
  return (await serfCli(['version'])).code === 0;
}

/** Lets time pass, for what can only be seen by nothing happening. */
export function pass(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}

/** A child process that ends with its lab. */
abstract class Process {
  protected child: ChildProcess | undefined;
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  get isRunning(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  get exitCode(): number | null | undefined {
    return this.child?.exitCode;
  }

  /** `SIGSTOP` and `SIGCONT` to pause and resume, `SIGKILL` to crash. */
  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  async ended(timeoutMs = 15_000): Promise<void> {
    await until(`the end of ${this.name}`, () => !this.isRunning, timeoutMs);
  }

  async kill(): Promise<void> {
    if (!this.isRunning) return;
    // A stopped process ends only by this one.
    this.signal('SIGKILL');
    await this.ended();
  }
}

/** A real agent. */
export class Agent extends Process {
  readonly address: string;
  readonly rpc: string;
  readonly #args: readonly string[];
  log = '';

  constructor(name: string, address: string, rpcPort: number, args: readonly string[]) {
    super(name);
    this.address = address;
    this.rpc = `127.0.0.1:${rpcPort}`;
    this.#args = args;
  }

  async start(extra: readonly string[] = []): Promise<void> {
    const args = ['agent', '-bind', this.address, '-rpc-addr', this.rpc, '-node', this.name, '-log-level', 'debug'];
    const child = spawn('serf', [...args, ...this.#args, ...extra], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    const keep = (chunk: Buffer): void => {
      this.log += chunk.toString();
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    await until(`agent ${this.name} to serve`, () => this.log.includes('Serf agent starting') || !this.isRunning);
    if (!this.isRunning) throw new Error(`agent ${this.name} did not start: ${this.log.trim().slice(-300)}`);
  }

  cli(command: string, ...args: readonly string[]): Promise<CliResult> {
    const at = command.indexOf(' ');
    const [verb, rest] = at < 0 ? [command, []] : [command.slice(0, at), [command.slice(at + 1)]];
    return serfCli([verb, `-rpc-addr=${this.rpc}`, ...args, ...rest]);
  }

  async members(...args: readonly string[]): Promise<ShownMember[]> {
    const { code, out } = await this.cli('members', '-format', 'json', ...args);
    return code === 0 ? ((JSON.parse(out) as { members: ShownMember[] | null }).members ?? []) : [];
  }

  async shows(name: string): Promise<ShownMember | undefined> {
    return (await this.members()).find((member) => member.name === name);
  }

  /** Waits until this agent shows the member with the status. */
  async sees(name: string, status: string, timeoutMs?: number): Promise<ShownMember> {
    return await until(
      `${this.name} to show ${name} ${status}`,
      async () => {
        if (!this.isRunning) throw new Error(`agent ${this.name} has ended: ${this.log.trim().slice(-300)}`);
        const member = await this.shows(name);
        return member?.status === status ? member : undefined;
      },
      timeoutMs,
    );
  }

  /** Lines of the log that match. */
  lines(pattern: RegExp): string[] {
    return this.log.split('\n').filter((line) => pattern.test(line));
  }
}

/** A line that a peer said. */
export interface PeerLine {
  readonly [key: string]: unknown;
  readonly event?: string;
  readonly name?: string;
  readonly payload?: string;
  readonly message?: string;
  readonly log?: string;
}

export interface PeerMember {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly status: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** One of our nodes in a process of its own. */
export class Peer extends Process {
  readonly address: string;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #wrapper: readonly string[];
  lines: PeerLine[] = [];
  #nextId = 1;

  /** `wrapper` is a command that runs the command after it, such as one that enters a namespace. */
  constructor(
    name: string,
    address: string,
    options: Readonly<Record<string, unknown>>,
    wrapper: readonly string[] = [],
  ) {
    super(name);
    this.address = address;
    this.#options = options;
    this.#wrapper = wrapper;
  }

  async start(): Promise<void> {
    const options = { name: this.name, bind: this.address, ...this.#options };
    const [command, ...args] = [...this.#wrapper, process.execPath, peerScript, JSON.stringify(options)];
    const child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child = child;
    this.lines = [];
    child.stdin.on('error', () => {});
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(JSON.parse(line) as PeerLine));
    await until(`peer ${this.name} to be ready`, () => this.lines.some((line) => line['ready'] !== undefined));
  }

  /** Sends a command and awaits its answer. */
  async ask<Result>(command: string, fields: object = {}, timeoutMs = 20_000): Promise<Result> {
    const id = this.#nextId++;
    this.child?.stdin?.write(`${JSON.stringify({ id, do: command, ...fields })}\n`);
    const answer = await until(
      `${this.name} to answer ${command}`,
      () => this.lines.find((line) => line['id'] === id),
      timeoutMs,
    );
    if (typeof answer['error'] === 'string') throw new Error(answer['error']);
    return answer['result'] as Result;
  }

  join(...addresses: readonly string[]): Promise<number> {
    return this.ask('join', { addresses });
  }

  members(): Promise<PeerMember[]> {
    return this.ask('members');
  }

  async sees(name: string, status: string, timeoutMs?: number): Promise<PeerMember> {
    return await until(
      `${this.name} to see ${name} ${status}`,
      async () => (await this.members()).find((member) => member.name === name && member.status === status),
      timeoutMs,
    );
  }

  /** Events of a kind, of one name if given. */
  events(event: string, name?: string): PeerLine[] {
    return this.lines.filter((line) => line.event === event && (name === undefined || line.name === name));
  }
}

export interface LabOptions {
  readonly agentArgs?: readonly string[];
  readonly peerOptions?: Readonly<Record<string, unknown>>;
  /** Where all members listen. Default 127.0.0.1. */
  readonly host?: string;
}

/** A pool for one scenario. Ends all its processes when it is disposed of. */
export class Lab {
  readonly #options: LabOptions;
  readonly #processes: Process[] = [];

  constructor(options: LabOptions = {}) {
    this.#options = options;
  }

  /** Starts an agent; it joins the addresses in `args`, if any. */
  async agent(name: string, args: readonly string[] = []): Promise<Agent> {
    const all = [...(this.#options.agentArgs ?? []), ...args];
    for (let attempt = 1; ; attempt++) {
      const agent = new Agent(name, await this.#address(), await freePort(), all);
      this.#processes.push(agent);
      try {
        await agent.start();
        return agent;
      } catch (error) {
        // Somebody else took the port between the look and the bind.
        if (attempt >= 3 || !agent.log.includes('address already in use')) throw error;
      }
    }
  }

  /** Starts one of our nodes. */
  async peer(
    name: string,
    options: Readonly<Record<string, unknown>> = {},
    wrapper: readonly string[] = [],
  ): Promise<Peer> {
    const peer = new Peer(name, await this.#address(), { ...this.#options.peerOptions, ...options }, wrapper);
    this.#processes.push(peer);
    await peer.start();
    return peer;
  }

  async #address(): Promise<string> {
    const { host = '127.0.0.1' } = this.#options;
    const port = await freePort({ host });
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  }

  /** Three agents and one of our nodes, joined. */
  async pool(): Promise<{ alpha: Agent; bravo: Agent; charlie: Agent; ts1: Peer }> {
    const alpha = await this.agent('alpha', ['-tag', 'role=web']);
    const [bravo, charlie] = await Promise.all([
      this.agent('bravo', ['-join', alpha.address]),
      this.agent('charlie', ['-join', alpha.address]),
    ]);
    const ts1 = await this.peer('ts1', { tags: { role: 'ts', zone: 'a' } });
    await ts1.join(alpha.address);
    await Promise.all([alpha.sees('ts1', 'alive'), bravo.sees('ts1', 'alive'), charlie.sees('ts1', 'alive')]);
    await Promise.all(['alpha', 'bravo', 'charlie'].map((name) => ts1.sees(name, 'alive')));
    return { alpha, bravo, charlie, ts1 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((child) => child.kill()));
  }
}
