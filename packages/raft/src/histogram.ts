/** Upper bounds in seconds: from 0.1 ms to 10 s, as latencies of a log and a network spread. */
const latencyBoundsSeconds: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
];

/** What a `Histogram` saw so far; the shape that Prometheus wants. */
export interface HistogramSnapshot {
  readonly boundsSeconds: readonly number[];
  /** Cumulative: how many were at most `boundsSeconds[i]`. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumSeconds: number;
}

/** Counts durations in fixed buckets; observing allocates nothing. */
export class Histogram {
  readonly #counts = new Float64Array(latencyBoundsSeconds.length);
  #count = 0;
  #sumSeconds = 0;

  observe(seconds: number): void {
    this.#count++;
    this.#sumSeconds += seconds;
    for (let i = 0; i < latencyBoundsSeconds.length; i++) {
      if (seconds <= latencyBoundsSeconds[i]!) {
        this.#counts[i]!++;
        return;
      }
    }
  }

  snapshot(): HistogramSnapshot {
    let total = 0;
    const counts = Array.from(this.#counts, (count) => {
      total += count;
      return total;
    });
    return { boundsSeconds: latencyBoundsSeconds, counts, count: this.#count, sumSeconds: this.#sumSeconds };
  }
}
