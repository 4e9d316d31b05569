import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '@dcache/testing';
import { Cluster, http } from './harness.js';

let cluster: Cluster;

before(async () => {
  cluster = await Cluster.start(3);
});

after(() => cluster.destroy());

for (const level of ['linearizable', 'lease']) {
  test(`a leader that was paused and wakes up answers no stale ${level} read`, async () => {
    const old = await cluster.leader();
    const others = cluster.nodes.filter((node) => node !== old);
    assert.equal((await old.set('k', `before ${level}`)).status, 200);

    // Requests that lie in the sleeping leader's sockets are the first that it sees when it wakes up.
    old.signal('SIGSTOP');
    const asked = Array.from({ length: 50 }, () =>
      http(old.rpcPort, 'GET', `/k?consistency=${level}`, { timeoutMs: 60_000 }),
    );
    await eventually('the others elect a leader', async () => {
      const views = await Promise.all(others.map((node) => node.status()));
      return views.some((view) => view.role === 'leader');
    });
    const written = await eventually('the others take a write', async () => {
      const answer = await others[0]!.set('k', `after ${level}`);
      return answer.status === 200 ? answer : undefined;
    });
    old.signal('SIGCONT');
    for (const answer of await Promise.all(asked)) {
      // An error is honest; the old value is not.
      if (answer.status !== 200) continue;
      assert.equal(answer.text, `after ${level}`);
      assert.equal(answer.headers.etag, written.headers.etag);
    }
    await cluster.formed(3);
    assert.equal((await old.get('k', level)).text, `after ${level}`);
  });
}
