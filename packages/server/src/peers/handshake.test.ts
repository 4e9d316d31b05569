import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BytesError } from '@dcache/base';
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
  assert.deepEqual(decodeHelloAnswer(whole), { answer, fields, proof, gossip: undefined });
});

test('a refusal tells of its gossip behind the proof, where earlier versions do not read, and who it is behind that', () => {
  const answer = answerHello(hello, { id: 6, cluster: undefined });
  const bare = takeHandshake(encodeHelloAnswer(encodeAnswerFields(answer), new Uint8Array()), 0)!.body;
  const text = Buffer.from('this node has not joined a cluster yet');
  const fields = Buffer.concat([Buffer.from(`05000001${'0000000000000006'}26`, 'hex'), text, Buffer.from('00', 'hex')]);
  assert.equal(Buffer.from(bare).toString('hex'), `${fields.toString('hex')}00`);
  const tell = (name: string): Uint8Array =>
    takeHandshake(encodeHelloAnswer(fields, new Uint8Array(), { port: 9_000, name }), 0)!.body;
  assert.equal(Buffer.from(tell('n6')).toString('hex'), `${Buffer.from(bare).toString('hex')}2328026e36`);
  const told = (...tail: number[]): unknown => decodeHelloAnswer(Buffer.concat([bare, Uint8Array.from(tail)])).gossip;
  assert.deepEqual(told(0x23, 0x28, 2, 0x6e, 0x36), { port: 9_000, name: 'n6' });
  assert.deepEqual(told(0x23, 0x28, 2, 0x6e, 0x36, 7, 7), { port: 9_000, name: 'n6' }, 'of a later version');
  assert.deepEqual(told(0x23, 0x28), { port: 9_000, name: '' }, 'of an earlier one');
  assert.equal(told(), undefined, 'of one still earlier');
  assert.equal(told(0, 0, 2, 0x6e, 0x36), undefined, 'nobody has his gossip at port 0');
  assert.deepEqual(decodeHelloAnswer(tell('n'.repeat(128))).gossip, { port: 9_000, name: 'n'.repeat(128) });
  assert.throws(() => decodeHelloAnswer(tell('n'.repeat(129))), /a name of 129 bytes; at most 128/);
  for (const cut of [[0x23], [0x23, 0x28, 3, 0x6e, 0x36]]) assert.throws(() => told(...cut), BytesError);
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
