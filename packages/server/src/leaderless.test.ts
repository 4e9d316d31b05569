import assert from 'node:assert/strict';
import { connect, type IncomingHttpHeaders } from 'node:http2';
import { test } from 'node:test';
import { freePort } from '@dcache/testing';
import { Server } from './server.js';

test('a node that is not ready says so with a code, as an error does, and its state in the body', async () => {
  const server = new Server({
    ...{ id: 'alone', http: true, rpcPort: 0, addr: `127.0.0.1:${await freePort()}` },
    ...{ join: [`127.0.0.1:${await freePort()}`] },
  });
  await server.start();
  try {
    const response = await fetch(`http://${server.rpcAddr}/-/ready`);
    assert.equal(response.status, 503);
    assert.equal(response.headers.get('dcache-error'), 'not-ready');
    assert.equal(response.headers.get('retry-after'), '1');
    assert.deepEqual(await response.json(), { ready: false });
  } finally {
    await server.stop();
  }
});

test('without a leader a gRPC call is over when its client says so, long before the server would give up', async () => {
  const server = new Server({
    ...{ id: 'alone', grpc: true, rpcPort: 0, addr: `127.0.0.1:${await freePort()}` },
    // It never finds the others, and would wait an hour for them.
    ...{ join: [`127.0.0.1:${await freePort()}`], requestTimeoutMs: 3_600_000 },
  });
  await server.start();
  const session = connect(`http://${server.rpcAddr}`);
  try {
    const call = (path: string, hex: string, headers: Record<string, string>): Promise<IncomingHttpHeaders> =>
      new Promise((resolve, reject) => {
        const type = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
        const request = session.request({ ...type, ':path': path, ...headers });
        request.on('response', resolve).on('error', reject).resume();
        const body = Buffer.from(hex, 'hex');
        request.end(Buffer.concat([Buffer.from([0, 0, 0, 0, body.length]), body]));
      });
    const set = ['/pb.Cache/Set', '0a016b12020102'] as const;
    const get = ['/pb.Cache/Get', '0a016b'] as const;
    for (const [path, hex] of [set, get]) {
      const headers = await call(path, hex, { 'grpc-timeout': '300m' });
      assert.equal(headers['grpc-status'], '4', `${path}: ${headers['grpc-message']}`);
    }
    // Who waits for the leader speaks first: it knows more than that the time is over.
    const many = Array.from({ length: 200 }, (_, i) => call(...set, { 'grpc-timeout': `${300 + i}m` }));
    for (const headers of await Promise.all(many)) {
      assert.equal(headers['grpc-status'], '4');
      assert.match(`${headers['grpc-message']}`, /nothing was done/);
    }
    const local = await call(...get, { 'grpc-timeout': '10S', 'dcache-consistency': 'local' });
    assert.equal(local['dcache-error'], 'not-ready', 'what need not wait is answered in time');
  } finally {
    session.destroy();
    await server.stop();
  }
});
