import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entries, type Queue } from './entries.js';
import { mostSegments } from './entry-row.js';
import { Epochs } from './epochs.js';

/** Entries of revisions 1, 2, … in the queues given. */
function entriesIn(...queues: Queue[]): Entries {
  const entries = new Entries(2 ** 20, new Epochs());
  queues.forEach((queue, i) => {
    entries.start(entries.take(), i + 1, queue);
  });
  return entries;
}

test('the digest names the queue, the order, the touches and the revisions, and nothing of the way there', () => {
  const digests = [
    entriesIn(),
    entriesIn(0),
    entriesIn(1),
    entriesIn(0, 0),
    entriesIn(0, 1),
    entriesIn(1, 0),
    entriesIn(1, 1),
  ];
  assert.equal(new Set(digests.map((entries) => entries.digest.toString())).size, digests.length);
  const moved = entriesIn(0, 0, 1);
  const before = moved.digest.toString();
  moved.unlink(1);
  moved.push(1, 0);
  const other = moved.digest.toString();
  assert.notEqual(other, before, '2 before 1');
  moved.unlink(2);
  moved.push(2, 0);
  assert.equal(moved.digest.toString(), before, '1 before 2 again');
  moved.setTouches(3, 2);
  assert.notEqual(moved.digest.toString(), before);
  moved.setTouches(3, 0);
  moved.setRevision(1, 7);
  moved.setRevision(2, 9);
  assert.notEqual(moved.digest.toString(), before);
  moved.setRevision(2, 2);
  moved.setRevision(1, 1);
  assert.equal(moved.digest.toString(), before);
  for (const id of [2, 3, 1]) moved.unlink(id);
  assert.equal(moved.digest.toString(), entriesIn().digest.toString());
});

test('revision, bits and place share a row and leave each other alone, at every limit', () => {
  const revisions = [0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
  for (const segmentBytes of [4096, 5000, 2 ** 20, 2 ** 26]) {
    const entries = new Entries(segmentBytes, new Epochs());
    entries.start(entries.take(), 1, 1);
    const last = mostSegments(segmentBytes) - 1;
    for (const revision of revisions)
      for (const segment of [0, 1, last >>> 1, last])
        for (const offset of [0, 1, segmentBytes - 1])
          for (const touches of [0, 3]) {
            entries.setRevision(1, revision);
            entries.setTouches(1, touches);
            entries.place(1, segment, offset);
            entries.setExpires(1, touches === 0);
            assert.equal(entries.revision(1), revision);
            assert.deepEqual([entries.touches(1), entries.queue(1)], [touches, 1]);
            assert.deepEqual([entries.segment(1), entries.offset(1)], [segment, offset]);
            const view = entries.view();
            assert.deepEqual([view.segment(1), view.offset(1), view.revision(1)], [segment, offset, revision]);
          }
  }
});
