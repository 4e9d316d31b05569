import type { Clock } from '@dcache/base';
import type { GrpcServer } from '@dcache/grpc';
import { grpcFileDescriptors } from '@dcache/protocol';
import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation, service as healthService } from 'grpc-health-check';

/** How often readiness is looked at, in milliseconds. */
const lookMs = 200;

/** Service `grpc.health.v1.Health`: each service, and the server as `""`, serves while the node is ready. */
export class GrpcHealth {
  readonly #health: HealthImplementation;
  readonly #services: readonly string[];
  readonly #isReady: () => boolean;
  readonly #stop: () => void;
  #said = false;

  constructor(services: readonly string[], isReady: () => boolean, clock: Clock) {
    this.#services = ['', ...services];
    this.#isReady = isReady;
    this.#health = new HealthImplementation(
      Object.fromEntries(this.#services.map((name) => [name, 'NOT_SERVING' as const])),
    );
    this.#stop = clock.every(lookMs, () => this.look());
  }

  addTo(server: GrpcServer): void {
    this.#health.addToServer(asGrpcJs(server));
  }

  /** Says what is true now, if it has changed. */
  look(): void {
    const isReady = this.#isReady();
    if (isReady === this.#said) return;
    this.#said = isReady;
    for (const name of this.#services) this.#health.setStatus(name, isReady ? 'SERVING' : 'NOT_SERVING');
  }

  stop(): void {
    this.#stop();
  }
}

/** Service `grpc.reflection.v1.ServerReflection`, and `v1alpha` for older tools: what this server speaks. */
export function addReflection(server: GrpcServer): void {
  const described = (fileDescriptorProtos: readonly Uint8Array[]) => ({
    // Any kind of definition that carries its files will do; this one needs nothing else.
    format: 'Protocol Buffer 3 EnumDescriptorProto' as const,
    type: {},
    fileDescriptorProtos: fileDescriptorProtos.map((bytes) => Buffer.from(bytes)),
  });
  const health = healthService as unknown as Record<string, { requestType: { fileDescriptorProtos: Buffer[] } }>;
  new ReflectionService({
    ours: described(grpcFileDescriptors()),
    health: described(health['Check']!.requestType.fileDescriptorProtos),
  }).addToServer(asGrpcJs(server));
}

/** These libraries only add services, and in that both servers are alike. */
function asGrpcJs(server: GrpcServer): Server {
  return server as unknown as Server;
}
