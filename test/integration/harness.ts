import { type ChildProcess, spawn } from 'node:child_process';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { eventually, freePort } from '@dcache/testing';

/** The built command lines. */
export const dcacheBin: string = fileURLToPath(new URL('../../../packages/server/bin/dcache.js', import.meta.url));
export const clientBin: string = fileURLToPath(
  new URL('../../../packages/client/bin/dcache-client.js', import.meta.url),
);

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
}

const agent = new Agent({ keepAlive: false });

/** One HTTP request on a connection of its own. Rejects when the server cannot be reached or goes away. */
export function http(
  port: number,
  method: string,
  path: string,
  options: { body?: string | Buffer; headers?: Record<string, string>; timeoutMs?: number } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: '127.0.0.1', port, method, path, headers: options.headers, agent, timeout: options.timeoutMs ?? 15_000 },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          const body = Buffer.concat(parts);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body, text: body.toString() });
        });
      },
    );
    call.on('error', reject);
    call.on('timeout', () => call.destroy(new Error(`${method} ${path} took too long`)));
    call.end(options.body);
  });
}

export interface Status {
  readonly id: string;
  readonly raftId: number;
  readonly cluster?: string;
  readonly role: string;
  readonly leader?: string;
  readonly isReady: boolean;
  readonly isDiskFull: boolean;
  readonly appliedIndex: number;
  readonly revision: number;
  readonly entries: number;
  readonly stateHash: string;
  readonly servers: { id: string; rpcAddr: string; isLeader: boolean; voteStatus: string }[];
}

/** One `dcache` process. */
export class Node {
  readonly name: string;
  readonly rpcPort: number;
  readonly serfPort: number;
  readonly #flags: readonly string[];
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> = Promise.resolve(null);
  /** All it wrote on stderr since its last start. */
  output = '';

  constructor(name: string, rpcPort: number, serfPort: number, flags: readonly string[]) {
    this.name = name;
    this.rpcPort = rpcPort;
    this.serfPort = serfPort;
    this.#flags = flags;
  }

  /** A node on free ports; `flags` are added to the usual ones. */
  static async create(name: string, flags: readonly string[] = []): Promise<Node> {
    return new Node(name, await freePort(), await freePort(), flags);
  }

  get serfAddress(): string {
    return `127.0.0.1:${this.serfPort}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  start(...more: string[]): this {
    this.output = '';
    const child = spawn(
      process.execPath,
      [
        ...[dcacheBin, '--id', this.name, '--addr', this.serfAddress, '--rpc-port', String(this.rpcPort)],
        ...['--http', '--grpc', ...this.#flags, ...more],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
    });
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once('close', (code) => resolve(code)));
    return this;
  }

  /** Resolves with the exit code once the process is gone. */
  exited(): Promise<number | null> {
    return this.#exited;
  }

  /** SIGTERM, and waits. */
  async stop(): Promise<number | null> {
    this.#child?.kill('SIGTERM');
    return this.#exited;
  }

  /** SIGKILL, and waits. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async status(): Promise<Status> {
    const answer = await http(this.rpcPort, 'GET', '/-/status', { timeoutMs: 2_000 });
    return JSON.parse(answer.text) as Status;
  }

  set(key: string, value: string | Buffer): Promise<Answer> {
    return http(this.rpcPort, 'POST', `/${key}`, { body: value });
  }

  get(key: string, level?: string): Promise<Answer> {
    return http(this.rpcPort, 'GET', `/${key}${level ? `?consistency=${level}` : ''}`);
  }
}

/** Several nodes; the first founds the cluster. */
export class Cluster {
  readonly nodes: Node[];

  constructor(nodes: Node[]) {
    this.nodes = nodes;
  }

  /** Starts `count` nodes and waits until all are voters and agree on a leader. */
  static async start(count: number, flags: readonly string[] | ((name: string) => string[]) = []): Promise<Cluster> {
    const nodes: Node[] = [];
    for (let i = 1; i <= count; i++)
      nodes.push(await Node.create(`node${i}`, typeof flags === 'function' ? flags(`node${i}`) : flags));
    const cluster = new Cluster(nodes);
    const [first, ...rest] = nodes;
    first!.start('--bootstrap');
    for (const node of rest) node.start('--join', first!.serfAddress);
    try {
      await cluster.formed(count);
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
    return cluster;
  }

  /** Waits until every running node sees `voters` voters and the same leader. */
  async formed(voters: number): Promise<void> {
    const running = this.nodes.filter((node) => node.isRunning);
    await eventually(`${voters} voters with one leader`, async () => {
      const views = await Promise.all(running.map((node) => node.status()));
      return (
        views.every(
          (view) =>
            view.isReady &&
            view.servers.length === voters &&
            view.servers.every((server) => server.voteStatus === 'Voter') &&
            view.servers.filter((server) => server.isLeader).length === 1,
        ) && new Set(views.map((view) => view.leader)).size === 1
      );
    });
  }

  async leader(): Promise<Node> {
    return eventually('a leader', async () => {
      for (const node of this.nodes) {
        if (!node.isRunning) continue;
        const { leader, role } = await node.status();
        if (role === 'leader') return this.nodes.find((one) => one.name === leader);
      }
      return undefined;
    });
  }

  async followers(): Promise<Node[]> {
    const leader = await this.leader();
    return this.nodes.filter((node) => node !== leader && node.isRunning);
  }

  /** Waits until all running nodes have applied the same and their states are equal; gives the hash. */
  async converged(): Promise<string> {
    const running = this.nodes.filter((node) => node.isRunning);
    return eventually('equal states at an equal index', async () => {
      const views = await Promise.all(running.map((node) => node.status()));
      const first = views[0]!;
      const isEqual = views.every(
        (view) => view.appliedIndex === first.appliedIndex && view.stateHash === first.stateHash,
      );
      return isEqual ? first.stateHash : undefined;
    });
  }

  /** Ends every process at once. */
  async destroy(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }
}

/** Runs a program to its end. */
export function run(
  command: string,
  args: readonly string[],
  options: { input?: string | Buffer; cwd?: string; env?: Record<string, string> } = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
    child.stdin.on('error', () => {});
    child.stdin.end(options.input);
  });
}
