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

const [, , given = '1', host = '127.0.0.1', base = '12344'] = process.argv;
const number = Number(given);
const port = Number(base) + number;
if (!Number.isInteger(number) || number < 1 || !Number.isInteger(port)) {
  console.error('usage: node examples/bcache/server.mjs NUMBER [HOST [PORT]]; the server listens on PORT + NUMBER');
  process.exit(2);
}

const cache = await createCache({
  listen: `${host}:${port}`,
  peers: number === 1 ? [] : [`${host}:${port - 1}`],
  peerId: `server${number}`,
  maxKeys: 1000,
}).catch((error) => {
  console.error(`server${number} cannot start (${error.code}): ${error.message}`);
  process.exit(1);
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

/** What may be typed: how, with how many words at least and at most, and what it does. */
const commands = {
  set: {
    usage: 'set KEY VALUE [TTL], such as: set user:1 Ada 1h',
    words: [2, 3],
    run: (key, value, ttl) => {
      cache.set(key, value, ttl === undefined ? {} : { ttl });
      return 'ok';
    },
  },
  get: { usage: 'get KEY', words: [1, 1], run: (key) => cache.get(key) ?? '(none)' },
  fill: { usage: 'fill KEY', words: [1, 1], run: (key) => cache.getOrSet(key, load, { ttl: '1m' }) },
  delete: {
    usage: 'delete KEY',
    words: [1, 1],
    run: (key) => (cache.delete(key) ? 'deleted' : 'deleted, though not held here'),
  },
  members: {
    usage: 'members',
    words: [0, 0],
    run: () =>
      cache
        .members()
        .map(({ id }) => id)
        .sort()
        .join(' '),
  },
};

async function answer(name, words) {
  if (!Object.hasOwn(commands, name)) return `commands: ${Object.keys(commands).join(' ')} quit`;
  const { usage, words: range, run } = commands[name];
  if (words.length < range[0] || words.length > range[1]) return `usage: ${usage}`;
  try {
    return await run(...words);
  } catch (error) {
    return `error: ${error.message}`;
  }
}

const isTyped = process.stdin.isTTY === true;
const lines = createInterface({ input: process.stdin, output: isTyped ? process.stdout : undefined, prompt: '> ' });
const prompt = () => isTyped && lines.prompt();
// Ctrl-C, or a signal: the others are to see it leave, not die.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => lines.close());
lines.once('SIGINT', () => lines.close());
prompt();
for await (const line of lines) {
  const [name, ...words] = line.trim().split(/\s+/);
  if (name === 'quit') break;
  if (name !== '') console.log(await answer(name, words));
  prompt();
}
await cache.close({ timeout: '1s' });
process.exit(0);
