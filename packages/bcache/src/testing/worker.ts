// A process for processes.test.ts: writes at random when told to, and sums up what it holds.
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { createCache } from '../cache.js';

const [, , name, listen, ...peers] = process.argv;
const cache = await createCache<number>({ listen: listen!, peerId: name!, peers, maxKeys: 10_000 });
console.log(`address ${cache.members()[0]!.address}`);
let writes = 0;
let timer: NodeJS.Timeout | undefined;

const write = (): void => {
  for (let i = 0; i < 5; i++) {
    const key = `k${Math.floor(Math.random() * 500)}`;
    if (Math.random() < 0.2) cache.delete(key);
    else cache.set(key, Math.random());
    writes++;
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'load') timer = setInterval(write, 5);
  else if (line === 'stop') {
    clearInterval(timer);
    write();
    console.log(`stopped ${writes}`);
  } else if (line === 'sum') {
    const held = [...cache.keys()].sort().map((key) => `${key}=${cache.peek(key)}`);
    console.log(`sum ${held.length} ${createHash('sha256').update(held.join()).digest('hex')}`);
  }
}
