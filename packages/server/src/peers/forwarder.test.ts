import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BytesError, SeededRandom, utf8 } from '@dcache/base';
import { type Command, CommandType, DcacheError, type Reply, ReplyType } from '@dcache/protocol';
import { HandClock, turn } from '@dcache/testing';
import fc from 'fast-check';
import type { Settled } from '../log/group-commit.js';
import { NotAppendedError } from '../log/replicated-log.js';
import {
  decodeForwardRequest,
  decodeForwardResponse,
  encodeForwardRequest,
  encodeForwardResponse,
  type ForwardRequest,
  type Outcome,
} from './forward-codec.js';
import { answerForwarded, Forwarder, ForwardFrame } from './forwarder.js';

const set = (key: string, valueBytes = 1): Command => ({
  type: CommandType.set,
  key: utf8(key),
  value: new Uint8Array(valueBytes),
  ttlMs: 0,
  flags: 0,
  condition: undefined,
  session: undefined,
});
const ok = (revision: number): Reply => ({ type: ReplyType.ok, revision });

/** A link that keeps what was sent. */
class FakeLink {
  readonly sent: { to: number; request: ForwardRequest }[] = [];
  state: 'sent' | 'busy' | 'no-link' = 'sent';

  sendFrame(to: number, kind: number, payload: Uint8Array): 'sent' | 'busy' | 'no-link' {
    assert.equal(kind, ForwardFrame.request);
    if (this.state === 'sent') this.sent.push({ to, request: decodeForwardRequest(payload.slice()) });
    return this.state;
  }
}

function make() {
  const link = new FakeLink();
  const clock = new HandClock();
  return { link, clock, forwarder: new Forwarder(link, clock, 5_000) };
}

/** Appends commands one by one. */
const each =
  (append: (command: Command) => Promise<Reply>) =>
  (commands: readonly Command[]): Promise<readonly Settled[]> =>
    Promise.all(
      commands.map((command) =>
        append(command).then(
          (reply) => ({ reply }),
          (error: unknown) => ({ error }),
        ),
      ),
    );

/** How a promise ended, as one word. */
async function fate(promise: Promise<Reply>): Promise<string> {
  try {
    return `reply ${(await promise).revision}`;
  } catch (error) {
    if (error instanceof NotAppendedError) return 'not appended';
    return error instanceof DcacheError ? error.code : String(error);
  }
}

test('all writes of one turn leave in one frame to each leader, and each gets the outcome at its place', async () => {
  const { link, clock, forwarder } = make();
  const fates = [set('a'), set('b'), set('c')].map((command) => fate(forwarder.send(2, command)));
  const other = fate(forwarder.send(3, set('d')));
  assert.equal(link.sent.length, 0, 'nothing leaves before the turn is over');
  await turn();
  assert.deepEqual(
    link.sent.map(({ to, request }) => [to, request.commands.length]),
    [
      [2, 3],
      [3, 1],
    ],
  );
  assert.equal(forwarder.inFlight, 2);
  const { batch } = link.sent[0]!.request;
  const outcomes: Outcome[] = [ok(7), new DcacheError('busy', 'later'), new DcacheError('no-leader', 'I do not lead')];
  forwarder.receive(2, encodeForwardResponse({ batch, outcomes }));
  assert.deepEqual(await Promise.all(fates), ['reply 7', 'busy', 'not appended']);
  forwarder.receive(3, encodeForwardResponse({ batch: link.sent[1]!.request.batch, outcomes: [ok(8)] }));
  assert.equal(await other, 'reply 8');
  assert.equal(forwarder.inFlight, 0);
  assert.equal(clock.pendingTimers, 0, 'no timer is left behind');
});

test('many large writes of one turn leave in frames of about 1 MiB, none of them refused for being together', async () => {
  const { link, forwarder } = make();
  const fates = Array.from({ length: 20 }, (_, i) => fate(forwarder.send(2, set(`k${i}`, 400_000))));
  await turn();
  assert.equal(link.sent.length, 10);
  for (const { request } of link.sent) {
    const outcomes = request.commands.map((command) => ok('key' in command ? command.key.length : 0));
    forwarder.receive(2, encodeForwardResponse({ batch: request.batch, outcomes }));
  }
  assert.ok((await Promise.all(fates)).every((one) => one.startsWith('reply')));
});

test('without a link the write was certainly not taken; with a full one it is busy', async () => {
  const { link, clock, forwarder } = make();
  link.state = 'no-link';
  assert.equal(await fate(forwarder.send(2, set('a'))), 'not appended');
  link.state = 'busy';
  assert.equal(await fate(forwarder.send(2, set('a'))), 'busy');
  assert.equal(clock.pendingTimers, 0);
});

test('a leader that is stopping did not take the write', async () => {
  const { link, forwarder } = make();
  const write = fate(forwarder.send(2, set('a')));
  await turn();
  const outcomes = [new DcacheError('stopping', 'this node is stopping')];
  forwarder.receive(2, encodeForwardResponse({ batch: link.sent[0]!.request.batch, outcomes }));
  assert.equal(await write, 'not appended');
});

test('an outcome is unknown when the link breaks, the leader is silent or another node leads; not before', async () => {
  const { link, clock, forwarder } = make();
  const broken = fate(forwarder.send(2, set('a')));
  const untouched = fate(forwarder.send(3, set('b')));
  await turn();
  forwarder.linkDown(9);
  assert.equal(forwarder.inFlight, 2);
  forwarder.linkDown(2);
  assert.equal(await broken, 'unknown-outcome');
  clock.pass(4_999);
  assert.equal(forwarder.inFlight, 1);
  clock.pass(1);
  assert.equal(await untouched, 'unknown-outcome');

  const old = fate(forwarder.send(2, set('c')));
  await turn();
  forwarder.leaderIs(2);
  assert.equal(forwarder.inFlight, 1);
  forwarder.leaderIs(3);
  assert.equal(await old, 'unknown-outcome');
  // The answer of the old one comes too late and harms nobody.
  forwarder.receive(2, encodeForwardResponse({ batch: link.sent.at(-1)!.request.batch, outcomes: [ok(1)] }));
  assert.equal(clock.pendingTimers, 0);
});

test('only the node that was asked can answer, only once, and for every command', async () => {
  const { link, forwarder } = make();
  const writes = [fate(forwarder.send(2, set('a'))), fate(forwarder.send(2, set('b')))];
  await turn();
  const { batch } = link.sent[0]!.request;
  forwarder.receive(3, encodeForwardResponse({ batch, outcomes: [ok(66), ok(66)] }));
  forwarder.receive(2, encodeForwardResponse({ batch: batch + 1, outcomes: [ok(66), ok(66)] }));
  assert.throws(() => forwarder.receive(2, encodeForwardResponse({ batch, outcomes: [ok(66)] })), BytesError);
  forwarder.receive(2, encodeForwardResponse({ batch, outcomes: [ok(1), ok(2)] }));
  forwarder.receive(2, encodeForwardResponse({ batch, outcomes: [ok(66), ok(66)] }));
  assert.deepEqual(await Promise.all(writes), ['reply 1', 'reply 2']);
});

test('a frame of anything else is a BytesError, and the writes that wait are untouched', async () => {
  const { link, forwarder } = make();
  const write = fate(forwarder.send(2, set('a')));
  await turn();
  const good = encodeForwardResponse({ batch: link.sent[0]!.request.batch, outcomes: [ok(5)] }).slice();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      fc.pre(Buffer.compare(bytes, good) !== 0);
      try {
        forwarder.receive(3, bytes);
      } catch (error) {
        assert.ok(error instanceof BytesError, String(error));
      }
    }),
    { numRuns: 500 },
  );
  forwarder.receive(2, good);
  assert.equal(await write, 'reply 5');
});

test('a command that cannot be written is rejected, and the next turn goes on', async () => {
  const { link, forwarder } = make();
  const wrong = { ...set('a'), ttlMs: -1 } as Command;
  assert.match(await fate(forwarder.send(2, wrong)), /varint/);
  const write = fate(forwarder.send(2, set('b')));
  await turn();
  forwarder.receive(2, encodeForwardResponse({ batch: link.sent[0]!.request.batch, outcomes: [ok(1)] }));
  assert.equal(await write, 'reply 1');
});

test('the leader answers a batch in its order, whatever order its commands settle in', async () => {
  const random = new SeededRandom(1);
  const commands = Array.from({ length: 50 }, (_, i) => set(`${i}`));
  const payload = encodeForwardRequest({ batch: 4, commands });
  const response = await answerForwarded(
    payload,
    each(async (command) => {
      for (let i = random.below(20); i > 0; i--) await Promise.resolve();
      const number = Number(Buffer.from((command as { key: Uint8Array }).key).toString());
      if (number % 10 === 3) throw new NotAppendedError('lost');
      if (number % 10 === 4) throw new DcacheError('unknown-outcome', 'lost leadership');
      if (number % 10 === 5) throw new TypeError('a fault');
      return ok(number);
    }),
  );
  const { batch, outcomes } = decodeForwardResponse(response);
  assert.equal(batch, 4);
  outcomes.forEach((outcome, number) => {
    const code = ({ 3: 'no-leader', 4: 'unknown-outcome', 5: 'internal' } as Record<number, string>)[number % 10];
    if (code === undefined) assert.deepEqual(outcome, ok(number));
    else assert.equal((outcome as DcacheError).code, code);
  });
});

test('the leader keeps nothing of the frame it was given, and refuses one that it cannot read before it appends', async () => {
  const payload = encodeForwardRequest({ batch: 1, commands: [set('abc')] }).slice();
  let kept: Uint8Array | undefined;
  const answer = answerForwarded(
    payload,
    each(async (command) => {
      await turn();
      kept = (command as { key: Uint8Array }).key;
      return ok(1);
    }),
  );
  payload.fill(0);
  await answer;
  assert.equal(Buffer.from(kept!).toString(), 'abc');

  const two = encodeForwardRequest({ batch: 1, commands: [set('a'), set('b')] });
  const never = (): Promise<readonly Settled[]> => assert.fail('half a batch was appended');
  for (let length = 0; length < two.length; length++)
    await assert.rejects(answerForwarded(two.subarray(0, length), never), BytesError);
});
