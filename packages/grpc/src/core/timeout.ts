const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/**
 * Milliseconds of a `grpc-timeout`: at most eight digits and a unit, undefined for anything else (gRPC over HTTP/2,
 * "Timeout"). 0 is no positive number, but clients send it for a time that is over.
 */
export function parseTimeout(value: string): number | undefined {
  const parts = /^(\d{1,8})([HMSmun])$/.exec(value);
  return parts ? Number(parts[1]) * unitMs[parts[2]!]! : undefined;
}
