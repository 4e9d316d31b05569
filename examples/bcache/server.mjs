// One of three servers that share a cache; run each in a terminal of its own:
//
//   node examples/bcache/server.mjs 1
//   node examples/bcache/server.mjs 2
//   node examples/bcache/server.mjs 3
//
// Server 1 knows nobody, server 2 knows server 1, server 3 knows server 2; gossip finds the rest. Each then takes lines:
// `set KEY VALUE [TTL]`, `get KEY`, `fill KEY`, `delete KEY`, `members`, `quit`.
import { createInterface } from 'node:readline';
import { createCache } from 'bcache';

const number = Number(process.argv[2] ?? 1);
const host = process.argv[3] ?? '127.0.0.1';
const port = Number(process.argv[4] ?? 12_344) + number;

const cache = await createCache({
  listen: `${host}:${port}`,
  peers: number === 1 ? [] : [`${host}:${port - 1}`],
  peerId: `server${number}`,
  maxKeys: 1000,
});
cache.on('member-join', ({ id }) => console.log(`${id} joined`));
cache.on('error', (error) => console.log(`error: ${error.message}`));
await cache.ready();
console.log(`server${number} listens on ${host}:${port}`);

/** Stands for the database behind the cache. */
async function load(key) {
  console.log(`loading ${key}`);
  return `${key} from the database`;
}

const commands = {
  set: (key, value, ttl) => {
    cache.set(key, value, ttl === undefined ? {} : { ttl });
    return 'ok';
  },
  get: (key) => cache.get(key) ?? '(none)',
  fill: (key) => cache.getOrSet(key, load, { ttl: '1m' }),
  delete: (key) => (cache.delete(key) ? 'deleted' : 'deleted, though not held here'),
  members: () =>
    cache
      .members()
      .map(({ id }) => id)
      .sort()
      .join(' '),
};

const lines = createInterface({ input: process.stdin });
for await (const line of lines) {
  const [name, ...args] = line.trim().split(/\s+/);
  if (name === 'quit') break;
  if (name === '') continue;
  try {
    console.log(
      commands[name] === undefined
        ? `commands: ${Object.keys(commands).join(' ')} quit`
        : await commands[name](...args),
    );
  } catch (error) {
    console.log(`error: ${error.message}`);
  }
}
await cache.close({ timeout: '1s' });
process.exit(0);
