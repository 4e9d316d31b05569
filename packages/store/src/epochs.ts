/**
 * Numbers that tell which memory a snapshot still sees. Opening a view ends the current epoch. What was born in an epoch
 * up to `newestView` may be seen by an open view and must not change in place: pages are copied before a write, segments
 * are not reused. What was born later is the writer's alone.
 */
export class Epochs {
  /** The epoch that new memory is born in. */
  current: number = 0;
  /** The newest epoch that an open view sees, -1 without one. Invariant: newestView < current. */
  newestView: number = -1;
  readonly #open: Set<number> = new Set();

  /** Begins a view of everything born so far; returns its number, to close it by. */
  open(): number {
    const view = this.current++;
    this.#open.add(view);
    this.newestView = view;
    return view;
  }

  close(view: number): void {
    this.#open.delete(view);
    this.newestView = Math.max(-1, ...this.#open);
  }

  /** Whether an open view may see what was born in `epoch`. */
  isSeen(epoch: number): boolean {
    return epoch <= this.newestView;
  }
}
