import type { Tracer } from '@opentelemetry/api';

/** Headers of HTTP, or metadata of gRPC. */
export type TraceHeaders = Readonly<Record<string, unknown>> | { getMap(): Readonly<Record<string, unknown>> };

/** A request that has ended, as a span tells it. */
export interface TracedRequest {
  readonly protocol: string;
  readonly verb: string;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  readonly endMs: number;
  readonly error: string | undefined;
  /** What the client sent of its own trace: `traceparent` and `tracestate`. */
  readonly headers: TraceHeaders;
}

type Api = typeof import('@opentelemetry/api');

/**
 * OpenTelemetry spans of requests, where the process has `@opentelemetry/api` and somebody registered a provider with it
 * (`node --import ./instrumentation.js …`). Without one a request costs two property reads. Keys and values are not in
 * the spans: they are the clients' own.
 */
export class Tracing {
  #api: Api | undefined;

  /** Looks for the package; not having it is no fault. */
  async load(): Promise<void> {
    try {
      this.#api = await import('@opentelemetry/api');
    } catch {
      this.#api = undefined;
    }
  }

  /** Undefined while nobody would see a span. */
  get #tracer(): Tracer | undefined {
    const provider = this.#api?.trace.getTracerProvider() as
      | { getDelegateTracer?: (name: string) => Tracer | undefined; getTracer: (name: string) => Tracer }
      | undefined;
    return provider?.getDelegateTracer ? provider.getDelegateTracer('dcache') : provider?.getTracer('dcache');
  }

  get isOn(): boolean {
    return this.#tracer !== undefined;
  }

  /** Tells a request after its end, with its own times, so that nothing is held open while it runs. */
  tell(request: TracedRequest): void {
    const api = this.#api;
    const tracer = this.#tracer;
    if (!api || !tracer) return;
    const { protocol, verb, startMs, endMs, error, headers } = request;
    const carrier = typeof headers.getMap === 'function' ? headers.getMap() : headers;
    const parent = api.propagation.extract(api.ROOT_CONTEXT, carrier);
    const options = {
      kind: api.SpanKind.SERVER,
      startTime: startMs,
      attributes: { 'db.system.name': 'dcache', 'db.operation.name': verb, 'network.protocol.name': protocol },
    };
    const span = tracer.startSpan(`${protocol} ${verb}`, options, parent);
    if (error !== undefined) {
      span.setAttribute('error.type', error);
      span.setStatus({ code: api.SpanStatusCode.ERROR, message: error });
    }
    span.end(endMs);
  }
}
