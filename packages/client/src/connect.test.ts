import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { createServer as createTlsServer, type TlsOptions as TlsServerOptions } from 'node:tls';
import { turn } from '@dcache/testing';
import { ServerCredentials } from '@grpc/grpc-js';
import { Client } from './client.js';
import type { ClientErrorReason } from './connect-fault.js';
import type { ClientOptions } from './options.js';
import { certificate, key } from './testing/certificate.js';
import { FakeServer } from './testing/fake-server.js';

const started: { stop(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const one of started.splice(0).reverse()) await one.stop();
});

/** Listens on the loopback; gives its address. */
async function listen(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  started.push({
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A TLS server that speaks HTTP/2 no further than its handshake. */
function listenTls(options: TlsServerOptions = {}): Promise<string> {
  const server = createTlsServer({ cert: certificate, key, ALPNProtocols: ['h2'], ...options }, (socket) =>
    socket.on('error', () => {}),
  );
  return listen(server);
}

async function fake(credentials?: ServerCredentials): Promise<string> {
  const server = await new FakeServer('n', credentials).start();
  started.push(server);
  return server.address;
}

/** What a read says of a server that it cannot speak to; long before its time, because trying again changes nothing. */
async function refused(reason: ClientErrorReason, options: ClientOptions, message: RegExp): Promise<void> {
  await using client = new Client({ timeoutMs: 60_000, ...options });
  await assert.rejects(client.get('k'), { name: 'ClientError', code: 'unavailable', reason, message }, reason);
}

test('where one side speaks TLS and the other does not, the error says which', async () => {
  const plain = await fake();
  const secure = await fake(ServerCredentials.createSsl(null, [keyPair()]));
  await refused('no-tls', { address: plain, tls: true }, new RegExp(`^${plain} does not speak TLS`));
  await refused('wants-tls', { address: secure }, new RegExp(`^${secure} speaks TLS`));
});

test('a certificate that is not trusted, or for another name, is told, with the names it has', async () => {
  const address = await listenTls();
  await refused('certificate-untrusted', { address, tls: true }, /^127\.0\.0\.1:\d+ .*not trusted.*self-signed/);
  const tls = { ca: certificate };
  await refused('certificate-wrong-name', { address, tls }, /not for 127\.0\.0\.1, but for DNS:dcache\.test/);
  const named = { address, tls: { ...tls, serverName: 'other.test' } };
  await refused('certificate-wrong-name', named, /not for other\.test, but for DNS:dcache\.test/);
});

test('a server that demands a certificate is told from one that cannot be reached', async () => {
  const address = await listenTls({ requestCert: true, rejectUnauthorized: true, ca: certificate });
  const tls = { ca: certificate, serverName: 'dcache.test' };
  await refused('certificate-wanted', { address, tls }, /asks for a certificate of this client/);
});

test('what speaks no gRPC is told so, whether it answers or only closes', async () => {
  // It reads on: what is closed with bytes unread is reset, and then the answer may get lost.
  const talks = await listen(
    createServer((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))),
  );
  await refused('not-grpc', { address: talks }, /does not speak gRPC/);
  await refused('no-tls', { address: talks, tls: true }, /does not speak TLS/);
  const closes = await listen(createServer((socket) => socket.once('data', () => socket.destroy())));
  await refused('closed', { address: closes }, /closes connections without a word/);
});

test('an HTTP/2 server of another kind is told from a gRPC server, whatever it answers', async () => {
  const answering = (status: number, type?: string, page = '<html></html>'): Promise<string> =>
    listen(
      createHttp2Server((_, response) => {
        // An empty page has an end and no head: its only frame is the last.
        const head = { ':status': status, ...(type === undefined ? {} : { 'content-type': type }) };
        response.stream.respond(head, { endStream: page === '' });
        if (page !== '') response.stream.end(page);
      }),
    );
  const web = await answering(200, 'text/html');
  await refused('not-grpc', { address: web }, /answers, but does not speak gRPC/);
  const strict = await answering(404, 'text/html');
  await refused('not-grpc', { address: strict }, /answers with HTTP status 404, and does not speak gRPC/);
  const refusal = { code: 'unavailable', reason: 'not-grpc' };
  const others = [web, strict, await answering(200, 'text/plain', ''), await answering(302)];
  for (const address of others) {
    await using client = new Client({ address });
    await assert.rejects(client.set('k', 'v'), refusal);
    await assert.rejects(client.admin.transferLeadership(), refusal);
  }
  await using doubtful = new Client({ address: await answering(200) });
  await assert.rejects(
    doubtful.admin.transferLeadership(),
    { code: 'unknown-outcome' },
    'nobody knows what the page says',
  );
});

test('a server that closes in silence may have no room: it is tried anew, as one that refuses connections', async () => {
  const server = await new FakeServer('n').start();
  started.push(server);
  const seen: string[] = [];
  const gate = createServer((socket) => {
    seen.push('connection');
    if (seen.length <= 2) socket.once('data', () => socket.destroy());
    else server.take(socket);
  });
  await using client = new Client({ address: await listen(gate), discover: false });
  assert.equal(await client.get('k'), undefined);
  assert.ok(seen.length > 2);
});

test('of several servers one that can be spoken to is enough, whatever ails the others', async () => {
  const good = await fake(ServerCredentials.createSsl(null, [keyPair()]));
  const plain = await fake();
  const tls = { ca: certificate, serverName: 'dcache.test' };
  await using client = new Client({ address: [plain, good], tls, discover: false });
  for (let i = 0; i < 4; i++) assert.equal(await client.get('k'), undefined);
});

test('no name is sent to an address (RFC 6066 §3), and its certificate is checked all the same', async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): unknown => warnings.push(warning);
  process.on('warning', onWarning);
  try {
    const names: string[] = [];
    const address = await listenTls({
      SNICallback: (name, done) => {
        names.push(name);
        done(null);
      },
    });
    await refused('certificate-wrong-name', { address, tls: { ca: certificate } }, /not for 127\.0\.0\.1/);
    assert.deepEqual(names, []);
    const byName = { address, tls: { ca: certificate, serverName: 'other.test' } };
    await refused('certificate-wrong-name', byName, /not for other\.test/);
    assert.equal(names[0], 'other.test');
    await turn(1);
    assert.deepEqual(warnings, []);
  } finally {
    process.off('warning', onWarning);
  }
});

test('certificates and keys that are none are refused before anything is dialled, by name', () => {
  const refusedOption = (tls: ClientOptions['tls'], message: RegExp): void => {
    assert.throws(() => new Client({ address: 'h:1', tls }), { name: 'TypeError', message });
  };
  refusedOption({ ca: 'no PEM' }, /^tls\.ca holds no certificate; it takes PEM/);
  refusedOption({ ca: key }, /^tls\.ca holds no certificate/);
  refusedOption({ cert: 'no PEM', key }, /^tls\.cert holds no certificate/);
  refusedOption({ cert: certificate, key: certificate }, /^tls\.key holds no private key/);
  refusedOption({ cert: certificate.replaceAll(/^MII.*$/gm, 'AAAA'), key }, /^tls\.cert cannot be used/);
});

function keyPair(): { private_key: Buffer; cert_chain: Buffer } {
  return { private_key: Buffer.from(key), cert_chain: Buffer.from(certificate) };
}
