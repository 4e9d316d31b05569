import { once } from 'node:events';
import { after } from 'node:test';
import { local, type Member, Serf, type SerfOptions } from './index.js';

export const running: Serf[] = [];

after(() => Promise.all(running.map((serf) => serf.stop())));

/** A started node on a free port, with the quick profile. */
export async function start(name: string, options: Partial<SerfOptions> = {}): Promise<Serf> {
  const serf = new Serf({ ...local(), name, bind: '127.0.0.1:0', ...options });
  running.push(serf);
  await serf.start();
  return serf;
}

/** Resolves once the node shows the member with the status. */
export async function sees(serf: Serf, name: string, status: Member['status']): Promise<void> {
  const isSo = (): boolean => serf.member(name)?.status === status;
  const signal = AbortSignal.timeout(20_000);
  while (!isSo()) {
    await Promise.race(
      (['member-join', 'member-leave', 'member-failed', 'member-update', 'member-reap'] as const).map((event) =>
        once(serf, event, { signal }),
      ),
    );
  }
}

/** Keys of 256 and of 128 bits. */
export const key: string = Buffer.alloc(32, 1).toString('base64');
export const nextKey: string = Buffer.alloc(16, 2).toString('base64');
