import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { silentLogger } from '@dcache/base';
import { DcacheError } from '@dcache/protocol';
import { HandClock } from '@dcache/testing';
import { type Span, type SpanOptions, SpanStatusCode, type TracerProvider, trace } from '@opentelemetry/api';
import { RequestMetrics } from './metrics-requests.js';
import { SlowLog } from './slow-log.js';
import { Tracing } from './tracing.js';

afterEach(() => trace.disable());

interface Told {
  readonly name: string;
  readonly options: SpanOptions | undefined;
  status?: number;
  endMs?: number;
}

/** A provider that keeps what it is told. */
function provider(told: Told[]): TracerProvider {
  const startSpan = (name: string, options?: SpanOptions): Span => {
    const one: Told = { name, options };
    told.push(one);
    const span = {
      setAttribute: () => span,
      setStatus: ({ code }: { code: number }) => {
        one.status = code;
        return span;
      },
      end: (endMs: number) => {
        one.endMs = endMs;
      },
    };
    return span as unknown as Span;
  };
  return { getTracer: () => ({ startSpan }) as unknown as ReturnType<TracerProvider['getTracer']> };
}

async function traced(): Promise<RequestMetrics> {
  const tracing = new Tracing();
  await tracing.load();
  return new RequestMetrics(new SlowLog(0, new HandClock(), silentLogger), { tracing });
}

test('without a provider no span is made, and one that is registered later is told from then on', async () => {
  const metrics = await traced();
  const series = metrics.of('http', 'get');
  metrics.done(series, performance.now());
  const told: Told[] = [];
  trace.setGlobalTracerProvider(provider(told));
  assert.deepEqual([...told], []);
  metrics.done(series, performance.now() - 50, { headers: {} });
  assert.equal(told.length, 1);
  assert.equal(told[0]!.name, 'http get');
  assert.ok(told[0]!.endMs! - Number(told[0]!.options?.startTime) >= 50, 'it has the times of the request');
  assert.equal(told[0]!.status, undefined);
});

test('a request that failed is a span with an error; the metadata of gRPC is read as headers are', async () => {
  const metrics = await traced();
  const told: Told[] = [];
  trace.setGlobalTracerProvider(provider(told));
  const headers = { getMap: () => ({ traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }) };
  metrics.done(metrics.of('grpc', 'set'), performance.now(), { headers, error: new DcacheError('busy', 'later') });
  assert.deepEqual(
    told.map(({ name, status }) => [name, status]),
    [['grpc set', SpanStatusCode.ERROR]],
  );
});
