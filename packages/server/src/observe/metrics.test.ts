import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger, utf8 } from '@dcache/base';
import { DcacheError } from '@dcache/protocol';
import { HandClock } from '@dcache/testing';
import { counter, gauge, metricsText, requestFamilies } from './metrics.js';
import { RequestMetrics, requestBoundsSeconds } from './metrics-requests.js';
import { SlowLog } from './slow-log.js';

function requestMetrics(): RequestMetrics {
  return new RequestMetrics(new SlowLog(0, new HandClock(), silentLogger));
}

/** The samples of a text by name and labels; checks that each line is one that Prometheus reads. */
function samples(text: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const parts = /^([a-zA-Z_][a-zA-Z0-9_]*(?:\{(?:[a-zA-Z_]+="(?:[^"\\]|\\.)*",?)+\})?) (\S+)$/.exec(line);
    assert.ok(parts, `not a sample: ${line}`);
    assert.ok(!found.has(parts[1]!), `twice: ${parts[1]}`);
    found.set(parts[1]!, Number(parts[2]));
  }
  return found;
}

test('durations become cumulative buckets by protocol and verb, with their sum and count', async () => {
  const metrics = requestMetrics();
  const series = metrics.of('http', 'get');
  assert.equal(metrics.of('http', 'get'), series);
  for (const seconds of [0.00002, 0.0001, 0.2, 60]) series.observe(seconds);
  const text = await metricsText(requestFamilies(metrics));
  const found = samples(text);
  const bucket = (le: number | string): number | undefined =>
    found.get(`dcache_request_duration_seconds_bucket{protocol="http",verb="get",le="${le}"}`);
  assert.equal(bucket(0.00005), 1);
  assert.equal(bucket(0.0001), 2, 'a bound belongs to its bucket');
  assert.equal(bucket(0.1), 2);
  assert.equal(bucket(0.25), 3);
  assert.equal(bucket(10), 3);
  assert.equal(bucket('+Inf'), 4);
  assert.equal(found.get('dcache_request_duration_seconds_count{protocol="http",verb="get"}'), 4);
  assert.equal(found.get('dcache_request_duration_seconds_sum{protocol="http",verb="get"}'), 60.20012);
  assert.ok(text.includes('# TYPE dcache_request_duration_seconds histogram'));
  assert.ok(found.has('nodejs_eventloop_lag_seconds'), 'and the process tells of itself');
  assert.equal([...requestBoundsSeconds].sort((a, b) => a - b).join(), requestBoundsSeconds.join());
});

test('errors are counted by code, hits and misses apart, and a label cannot break a line', async () => {
  const metrics = requestMetrics();
  const series = metrics.of('grpc', 'set');
  metrics.done(series, performance.now(), { key: utf8('k'), error: new DcacheError('busy', 'later') });
  metrics.done(series, performance.now());
  metrics.observeRead(true);
  metrics.observeRead(true);
  metrics.observeRead(false);
  const odd = gauge('odd', 'One\nline.', { labels: { name: 'a"b\\c\nd' }, value: 1 });
  const found = samples(await metricsText([...requestFamilies(metrics), odd, counter('none_total', 'Nothing.')]));
  assert.equal(found.get('dcache_request_errors_total{protocol="grpc",code="busy"}'), 1);
  assert.equal(found.get('dcache_request_duration_seconds_count{protocol="grpc",verb="set"}'), 2);
  assert.equal(found.get('dcache_read_hits_total'), 2);
  assert.equal(found.get('dcache_read_misses_total'), 1);
  assert.equal(found.get('odd{name="a\\"b\\\\c\\nd"}'), 1);
});
