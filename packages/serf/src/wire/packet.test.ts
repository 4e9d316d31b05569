import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { encodeMessage } from './codec.js';
import { compressMessage } from './compress.js';
import { Keyring } from './keyring.js';
import { decodePacket, encodePacket } from './packet.js';

const none = new Uint8Array(0);
const open = { keyring: undefined, label: none };
const plain = { ...open, checksum: false, compress: false };
const nack = encodeMessage({ type: 'nack', seqNo: 1 });
const suspect = encodeMessage({ type: 'suspect', incarnation: 1, node: 'a', from: 'b' });
const keyA = new Uint8Array(32).fill(1);
const keyB = new Uint8Array(16).fill(2);

function types(datagram: Uint8Array, options = open as Parameters<typeof decodePacket>[1]): string[] {
  return decodePacket(datagram, options).messages.map((message) => message.type);
}

test('every combination of layers is unfolded again', () => {
  for (const keyring of [undefined, new Keyring([keyA, keyB])])
    for (const label of [none, utf8('blue')])
      for (const checksum of [false, true])
        for (const compress of [false, true])
          for (const messages of [[nack], [nack, suspect, suspect]]) {
            const options = { keyring, label, checksum, compress };
            const datagram = encodePacket(messages, options);
            assert.deepEqual(types(datagram, options), ['nack', 'suspect', 'suspect'].slice(0, messages.length));
          }
});

test('a lone message goes bare, and compression is used only where it is shorter', () => {
  assert.deepEqual(encodePacket([nack], { ...plain, compress: true }), nack);
  const many = Array.from({ length: 20 }, () => suspect);
  assert.equal(encodePacket(many, { ...plain, compress: true })[0], 9);
});

test('a wrong checksum drops the datagram', () => {
  const datagram = encodePacket([nack], { ...plain, checksum: true });
  datagram[datagram.length - 1]! ^= 1;
  assert.throws(() => decodePacket(datagram, open), /checksum/);
});

test('a checksum further inside is no message', () => {
  const inner = encodePacket([nack], { ...plain, checksum: true });
  const { messages, faults } = decodePacket(encodePacket([inner, nack], plain), open);
  assert.deepEqual(
    messages.map((message) => message.type),
    ['nack'],
  );
  assert.match(faults[0]!.message, /type 12/);
});

test('of a cut compound the whole parts are used', () => {
  const datagram = encodePacket([nack, suspect, nack], plain);
  const { messages, faults } = decodePacket(datagram.subarray(0, datagram.length - 2), open);
  assert.deepEqual(
    messages.map((message) => message.type),
    ['nack', 'suspect'],
  );
  assert.equal(faults.length, 1);
});

test('an empty part, an unknown type and a part that lies are faults of their own', () => {
  const datagram = Uint8Array.of(7, 3, 0, 0, 0, 1, 0, nack.length, 99, ...nack);
  const { messages, faults } = decodePacket(datagram, open);
  assert.equal(messages.length, 1);
  assert.equal(faults.length, 2);
  // Whole or not, a part that is shorter than it says is none.
  const lie = decodePacket(Uint8Array.of(7, 1, 0, nack.length + 1, ...nack), open);
  assert.equal(lie.messages.length, 0);
  assert.match(lie.faults[0]!.message, /a compound is cut/);
});

test('a compound takes at most 127 parts', () => {
  const full = Array.from({ length: 127 }, () => nack);
  assert.equal(types(encodePacket(full, plain)).length, 127);
  assert.throws(() => encodePacket([...full, nack], plain), /allowed are 1 to 127/);
});

test('nests without end are cut off', () => {
  let nest = nack;
  for (let depth = 0; depth < 50; depth++) nest = Uint8Array.of(7, 1, nest.length >> 8, nest.length & 0xff, ...nest);
  const { messages, faults } = decodePacket(nest, open);
  assert.equal(messages.length, 0);
  assert.match(faults[0]!.message, /nest deeper/);
});

test('a bomb of compression is a fault and takes no memory', () => {
  const bomb = compressMessage(new Uint8Array(4_000_000));
  const before = process.memoryUsage().arrayBuffers;
  const { messages, faults } = decodePacket(bomb, open);
  assert.equal(messages.length, 0);
  assert.match(faults[0]!.message, /bytes allowed/);
  assert.ok(process.memoryUsage().arrayBuffers - before < 8_000_000);
});

test('many bombs in one datagram share one allowance', () => {
  const bomb = compressMessage(new Uint8Array(900_000).fill(8));
  const datagram = encodePacket(
    Array.from({ length: 8 }, () => bomb),
    plain,
  );
  const { faults } = decodePacket(datagram, open);
  assert.equal(faults.length, 8);
  assert.ok(faults.slice(2).every((fault) => /bytes allowed/.test(fault.message)));
});

test('with a keyring, plaintext and other keys are dropped', () => {
  const ring = { ...open, keyring: new Keyring([keyA]) };
  assert.throws(() => decodePacket(nack, ring), /too few/);
  assert.throws(() => decodePacket(encodePacket([suspect, suspect], plain), ring));
  const other = encodePacket([nack], { ...plain, keyring: new Keyring([keyB]) });
  assert.throws(() => decodePacket(other, ring), /no installed key/);
});

test('a key that is only installed opens, the one in use seals', () => {
  const old = new Keyring([keyA]);
  const both = new Keyring([keyB, keyA]);
  assert.deepEqual(types(encodePacket([nack], { ...plain, keyring: old }), { ...open, keyring: both }), ['nack']);
  assert.throws(() => decodePacket(encodePacket([nack], { ...plain, keyring: both }), { ...open, keyring: old }));
});

test('a label must be the configured one, and is authenticated', () => {
  const labelled = encodePacket([nack], { ...plain, label: utf8('blue') });
  assert.deepEqual([...labelled.subarray(0, 6)], [0xf4, 4, ...utf8('blue')]);
  assert.throws(() => decodePacket(labelled, open), /none is configured/);
  assert.throws(() => decodePacket(labelled, { ...open, label: utf8('green') }), /label/);
  assert.throws(() => decodePacket(nack, { ...open, label: utf8('blue') }), /label/);
  const keyring = new Keyring([keyA]);
  const sealed = encodePacket([nack], { ...plain, keyring, label: utf8('blue') });
  const moved = Uint8Array.of(0xf4, 3, ...utf8('red'), ...sealed.subarray(6));
  assert.throws(() => decodePacket(moved, { keyring, label: utf8('red') }), /no installed key/);
});

test('padding of version 0 is taken off, and a wrong one is refused', () => {
  const sealed = (plain: Uint8Array): Uint8Array => {
    const nonce = new Uint8Array(12).fill(9);
    const cipher = createCipheriv('aes-256-gcm', keyA, nonce);
    return Buffer.concat([Uint8Array.of(0), nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  };
  const ring = { ...open, keyring: new Keyring([keyA]) };
  const padding = 16 - (nack.length % 16);
  assert.deepEqual(types(sealed(Uint8Array.of(...nack, ...new Array<number>(padding).fill(padding))), ring), ['nack']);
  for (const wrong of [[], [0], [17], [200, 3, 255]])
    assert.throws(() => decodePacket(sealed(Uint8Array.from(wrong)), ring), /padding/);
  const unknown = sealed(nack);
  unknown[0] = 2;
  assert.throws(() => decodePacket(unknown, ring), /version 2, allowed are 0 and 1/);
});
