import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import { type RequestMetrics, requestBoundsSeconds } from './metrics-requests.js';

export interface Sample {
  readonly value: number;
  readonly labels?: Readonly<Record<string, string | number>>;
  /** Where it differs from the family's, as for the parts of a histogram. */
  readonly metricName?: string;
}

/** All samples of one name. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly values: readonly Sample[];
}

/** A histogram as the packages keep it: cumulative counts for the bounds, without the last one of everything. */
export interface CumulativeHistogram {
  readonly boundsSeconds: readonly number[];
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumSeconds: number;
}

export function counter(name: string, help: string, ...values: (number | Sample)[]): Family {
  return { name, help, type: 'counter', values: values.map(sample) };
}

export function gauge(name: string, help: string, ...values: (number | Sample)[]): Family {
  return { name, help, type: 'gauge', values: values.map(sample) };
}

export function histogramSamples(
  name: string,
  histogram: CumulativeHistogram,
  labels: Readonly<Record<string, string>> = {},
): Sample[] {
  const { boundsSeconds, counts, count, sumSeconds } = histogram;
  const metricName = `${name}_bucket`;
  return [
    ...boundsSeconds.map((le, i) => ({ metricName, labels: { ...labels, le }, value: counts[i]! })),
    { metricName, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: sumSeconds },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

function sample(value: number | Sample): Sample {
  return typeof value === 'number' ? { value } : value;
}

/** What clients ask of this node. */
export function requestFamilies(requests: RequestMetrics): Family[] {
  const name = 'dcache_request_duration_seconds';
  const durations = requests.series.flatMap(({ protocol, verb, counts, count, sumSeconds }) => {
    let total = 0;
    const cumulative = requestBoundsSeconds.map((_, i) => {
      total += counts[i]!;
      return total;
    });
    const histogram = { boundsSeconds: requestBoundsSeconds, counts: cumulative, count, sumSeconds };
    return histogramSamples(name, histogram, { protocol, verb });
  });
  return [
    {
      name,
      help: 'From the whole request head to its answer, by protocol and verb; without the time in the socket.',
      type: 'histogram',
      values: durations,
    },
    counter(
      'dcache_request_errors_total',
      'Requests answered with an error, by protocol and code; a miss is none.',
      ...[...requests.errors()].map(({ protocol, code, count }) => ({ labels: { protocol, code }, value: count })),
    ),
    counter('dcache_read_hits_total', 'Keys that reads found.', requests.hits),
    counter('dcache_read_misses_total', 'Keys that reads did not find.', requests.misses),
  ];
}

/** Memory, processor time, event loop and garbage collection: of the process, whatever number of servers is in it. */
let processRegistry: Registry | undefined;

/** Prometheus' text format, version 0.0.4. Where several servers share a process, each tells the process's metrics. */
export async function metricsText(families: readonly Family[]): Promise<string> {
  if (!processRegistry) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  const registry = new Registry();
  for (const family of families) {
    // Its own metric classes keep a map of labels for each observation; numbers that exist already need none of that.
    const metric = { ...family, aggregator: 'sum', get: async () => family, reset: () => {} };
    registry.registerMetric(metric as unknown as Metric);
  }
  return `${await registry.metrics()}${await processRegistry.metrics()}`;
}

export const metricsContentType: string = Registry.PROMETHEUS_CONTENT_TYPE;
