import type { Random } from '@dcache/base';
import type { Coordinate } from './message.js';

const dimensions = 8;
const maxError = 1.5;
const minHeight = 1e-5;
const errorWeight = 0.25;
const forceWeight = 0.25;
const adjustmentWindow = 20;
const latencySamples = 3;
const gravityRho = 150;
const smallest = 1e-6;
/** A longer round trip is a fault, not a distance. */
const maxRttSeconds = 10;
/** Members whose latest samples are kept. */
const maxSampledMembers = 65_536;

const origin: Coordinate = {
  vec: new Array<number>(dimensions).fill(0),
  error: maxError,
  adjustment: 0,
  height: minHeight,
};

/**
 * This member's place in a space where distance estimates round trips (Dabek, Cox, Kaashoek, Morris: Vivaldi, 2004;
 * adjustment term from Lee et al. 2006; gravity from Ledlie et al. 2007, as in Serf). Each probe's round trip moves it.
 */
export class CoordinateClient {
  readonly #random: Random;
  readonly #samples = new Map<string, number[]>();
  readonly #adjustments = new Array<number>(adjustmentWindow).fill(0);
  #adjustmentIndex = 0;
  #own: Coordinate = origin;

  constructor(random: Random) {
    this.#random = random;
  }

  get own(): Coordinate {
    return this.#own;
  }

  /** Whether the sample was used; a coordinate or round trip that makes no sense is not. */
  update(name: string, other: Coordinate, rttSeconds: number): boolean {
    if (!isValidCoordinate(other) || !(rttSeconds >= 0 && rttSeconds <= maxRttSeconds)) return false;
    const rtt = Math.max(smallest, this.#median(name, rttSeconds));
    let own = this.#pull(this.#own, other, rtt);
    own = this.#adjust(own, other, rtt);
    own = this.#towardsOrigin(own);
    this.#own = isValidCoordinate(own) ? own : origin;
    return true;
  }

  /** Forgets the samples of a member that is gone. */
  forget(name: string): void {
    this.#samples.delete(name);
  }

  #median(name: string, rtt: number): number {
    let samples = this.#samples.get(name);
    if (samples === undefined) {
      if (this.#samples.size >= maxSampledMembers) return rtt;
      samples = [];
      this.#samples.set(name, samples);
    }
    samples.push(rtt);
    if (samples.length > latencySamples) samples.shift();
    return samples.toSorted((a, b) => a - b)[samples.length >> 1]!;
  }

  #pull(own: Coordinate, other: Coordinate, rtt: number): Coordinate {
    const estimate = estimateRttSeconds(own, other);
    const wrongness = Math.abs(estimate - rtt) / rtt;
    const totalError = Math.max(own.error + other.error, smallest);
    const weight = own.error / totalError;
    const error = Math.min(maxError, errorWeight * weight * wrongness + own.error * (1 - errorWeight * weight));
    return this.#push({ ...own, error }, other, forceWeight * weight * (rtt - estimate));
  }

  /** Moves `own` by `force` seconds away from `other`. */
  #push(own: Coordinate, other: Coordinate, force: number): Coordinate {
    const { unit, magnitude } = this.#direction(own.vec, other.vec);
    const vec = own.vec.map((component, i) => component + unit[i]! * force);
    const height =
      magnitude > smallest
        ? Math.max(minHeight, ((own.height + other.height) * force) / magnitude + own.height)
        : own.height;
    return { ...own, vec, height };
  }

  #direction(from: readonly number[], to: readonly number[]): { unit: number[]; magnitude: number } {
    const difference = from.map((component, i) => component - to[i]!);
    const magnitude = length(difference);
    if (magnitude > smallest) return { unit: difference.map((component) => component / magnitude), magnitude };
    const anywhere = difference.map(() => this.#random.next() - 0.5);
    const size = length(anywhere);
    if (size > smallest) return { unit: anywhere.map((component) => component / size), magnitude: 0 };
    return { unit: difference.map((_, i) => (i === 0 ? 1 : 0)), magnitude: 0 };
  }

  #adjust(own: Coordinate, other: Coordinate, rtt: number): Coordinate {
    this.#adjustments[this.#adjustmentIndex] = rtt - rawDistance(own, other);
    this.#adjustmentIndex = (this.#adjustmentIndex + 1) % adjustmentWindow;
    const sum = this.#adjustments.reduce((total, sample) => total + sample, 0);
    return { ...own, adjustment: sum / (2 * adjustmentWindow) };
  }

  /** A weak pull to the origin, so that the pool as a whole does not drift away. */
  #towardsOrigin(own: Coordinate): Coordinate {
    const distance = estimateRttSeconds(origin, own);
    return this.#push(own, origin, -1 * (distance / gravityRho) ** 2);
  }
}

/** Round trip between two members, in seconds. */
export function estimateRttSeconds(a: Coordinate, b: Coordinate): number {
  const raw = rawDistance(a, b);
  const adjusted = raw + a.adjustment + b.adjustment;
  return adjusted > 0 ? adjusted : raw;
}

function isValidCoordinate(coordinate: Coordinate): boolean {
  const { vec, error, adjustment, height } = coordinate;
  return (
    vec.length === dimensions &&
    vec.every(Number.isFinite) &&
    Number.isFinite(error) &&
    Number.isFinite(adjustment) &&
    Number.isFinite(height)
  );
}

function rawDistance(a: Coordinate, b: Coordinate): number {
  return length(a.vec.map((component, i) => component - b.vec[i]!)) + a.height + b.height;
}

function length(vec: readonly number[]): number {
  let sum = 0;
  for (const component of vec) sum += component * component;
  return Math.sqrt(sum);
}
