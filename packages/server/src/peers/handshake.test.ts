import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  answerHello,
  decodeHello,
  decodeHelloAnswer,
  encodeAnswerFields,
  encodeHello,
  encodeHelloAnswer,
  HelloStatus,
  peerPreface,
  takeHandshake,
} from './handshake.js';

const hello = {
  protocolMin: 1,
  protocolMax: 1,
  feature: 1,
  cluster: 'c1',
  from: 5,
  to: 6,
  name: 'n',
  nonce: new Uint8Array([7, 8]),
};

test('the bytes of a hello are these, for ever', () => {
  const body = '01' + '01' + '0001' + '026331' + '0000000000000005' + '0000000000000006' + '016e' + '020708';
  assert.equal(Buffer.from(encodeHello(hello)).toString('hex'), `dc504545520d0a00${'001c'}${body}`);
});

test('a hello and its answer arrive whole however the stream is cut, and what follows is kept', () => {
  const stream = Buffer.concat([encodeHello(hello), Buffer.from('rest')]);
  for (let length = 0; length < stream.length - 4; length++)
    assert.equal(takeHandshake(stream.subarray(0, length), peerPreface.length), undefined);
  const taken = takeHandshake(stream, peerPreface.length);
  assert.deepEqual(decodeHello(taken!.body), hello);
  assert.equal(Buffer.from(taken!.rest).toString(), 'rest');
  const answer = answerHello(hello, { id: 6, cluster: 'c1' });
  assert.equal(answer.status, HelloStatus.ok);
  const fields = encodeAnswerFields(answer);
  const proof = new Uint8Array([9]);
  const whole = takeHandshake(encodeHelloAnswer(fields, proof), 0)!.body;
  assert.deepEqual(decodeHelloAnswer(whole), { answer, fields, proof, gossipPort: 0 });
  const refusal = takeHandshake(encodeHelloAnswer(fields, new Uint8Array(), 9_000), 0)!.body;
  assert.equal(decodeHelloAnswer(refusal).gossipPort, 9_000);
  assert.deepEqual([...refusal.subarray(-3)], [0, 0x23, 0x28], 'after the proof, where earlier versions do not read');
});

test('a foreign cluster, another node and another protocol are refused with the reason', () => {
  assert.equal(answerHello(hello, { id: 6, cluster: 'c2' }).status, HelloStatus.foreignCluster);
  assert.equal(answerHello(hello, { id: 7, cluster: 'c1' }).status, HelloStatus.otherNode);
  assert.equal(answerHello(hello, { id: 6, cluster: undefined }).status, HelloStatus.noCluster);
  const newer = answerHello({ ...hello, protocolMin: 2, protocolMax: 3 }, { id: 6, cluster: 'c1' });
  assert.equal(newer.status, HelloStatus.protocol);
  assert.match(newer.message, /2 to 3 asked, 1 to 1 spoken/);
});

test('a handshake that claims to be long is refused before it is held', () => {
  assert.throws(() => takeHandshake(Uint8Array.of(0xff, 0xff), 0), /at most 1024/);
});
