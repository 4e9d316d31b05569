import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Progress } from './progress.js';

function output(isTTY: boolean) {
  let text = '';
  return {
    isTTY,
    write: (more: string) => {
      text += more;
      return true;
    },
    take: () => text,
  };
}

test('progress is one line on a terminal, drawn over itself and taken away', () => {
  const terminal = output(true);
  const progress = new Progress(terminal as never);
  progress.show('saved 1 MiB', 0.5);
  progress.show('too soon to be drawn', 0.6);
  progress.clear();
  assert.equal(terminal.take(), '\r\x1b[Ksaved 1 MiB (50 %)\r\x1b[K');
});

test('nothing is shown where no terminal is', () => {
  const file = output(false);
  const progress = new Progress(file as never);
  progress.show('saved 1 MiB', 0.5);
  progress.clear();
  assert.equal(file.take(), '');
});
