/**
 * Runs inside a network namespace that has the address 10.9.8.7: an agent bound to 0.0.0.0, which announces itself in
 * sixteen bytes, one bound to the address, and our node. Exits 1 and says why when anybody sees a conflict.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { until } from '@dcache/testing';
import { lan, Serf } from '../index.js';
import { pass } from './lab.js';

const children: ChildProcess[] = [];

async function agent(name: string, bind: string, port: number, join?: string): Promise<() => string> {
  const args = ['agent', '-bind', `${bind}:${port}`, '-rpc-addr', `127.0.0.1:${port + 1000}`, '-node', name];
  const child = spawn('serf', [...args, '-log-level', 'debug', ...(join === undefined ? [] : ['-join', join])]);
  children.push(child);
  let log = '';
  child.stdout.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  await until(`agent ${name}`, () => log.includes('Serf agent starting'));
  return () => log;
}

let fault: string | undefined;
try {
  const wide = await agent('wide', '0.0.0.0', 7946);
  const narrow = await agent('narrow', '10.9.8.7', 7947, '10.9.8.7:7946');
  // Quick push/pulls, so that many happen in a short time.
  const ours = new Serf({ ...lan(), name: 'ours', bind: '10.9.8.7:7948', pushPullIntervalMs: 1000 });
  await ours.start();
  await ours.join(['10.9.8.7:7947']);
  await until('all three', () => ours.members().filter((member) => member.status === 'alive').length === 3);
  let conflicts = 0;
  ours.on('conflict', () => {
    conflicts++;
  });
  await until('eight push/pulls', () => ours.stats().pushPulls >= 9, 40_000);
  ours.userEvent('late');
  await pass(2000);
  const complaints = [wide, narrow].flatMap((log) =>
    log()
      .split('\n')
      .filter((line) => /Conflicting address|Updating address|\[ERR\]/.test(line)),
  );
  if (complaints.length > 0 || conflicts > 0) fault = `${conflicts} conflicts here; ${complaints.join('; ')}`;
  const { address, status } = ours.member('wide')!;
  if (address !== '10.9.8.7' || status !== 'alive') fault = `wide is ${status} at ${address}`;
  process.stdout.write(`${ours.stats().pushPulls} push/pulls, no conflict\n`);
  await ours.stop();
} catch (error) {
  fault = (error as Error).message;
} finally {
  for (const child of children) child.kill('SIGKILL');
}
if (fault !== undefined) {
  process.stderr.write(`${fault}\n`);
  process.exit(1);
}
