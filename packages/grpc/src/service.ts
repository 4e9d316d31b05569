import type { StreamCall, UnaryCall } from './call.js';
import type { Method } from './method.js';
import type { StatusError } from './status.js';

export type Answer = (error: StatusError | null, response?: unknown) => void;

/** What answers a call; the shape is that of grpc-js. */
export type Handler =
  // biome-ignore lint/suspicious/noExplicitAny: a handler's call has its method's message types.
  ((call: any, answer: any) => void) | ((call: UnaryCall | StreamCall, answer: Answer) => void);

export type Service = Readonly<Record<string, Method>>;
/** By the service's own names of the methods, or by the last part of their path. */
export type Implementation = Readonly<Record<string, unknown>>;

export interface Route {
  readonly method: Method;
  readonly handler: Handler;
  readonly isUnary: boolean;
}

/** The methods of all services by path. */
export class Routes {
  readonly #routes = new Map<string, Route>();

  add(service: Service, implementation: Implementation): void {
    for (const [name, method] of Object.entries(service)) {
      const ownName = method.path.slice(method.path.lastIndexOf('/') + 1);
      const lower = name.charAt(0).toLowerCase() + name.slice(1);
      const handler = implementation[name] ?? implementation[lower] ?? implementation[ownName];
      if (typeof handler !== 'function') throw new TypeError(`nothing implements ${method.path}`);
      if (this.#routes.has(method.path)) throw new TypeError(`${method.path} is implemented twice`);
      const isUnary = !method.requestStream && !method.responseStream;
      this.#routes.set(method.path, { method, handler: handler.bind(implementation) as Handler, isUnary });
    }
  }

  get(path: string): Route | undefined {
    return this.#routes.get(path);
  }
}
