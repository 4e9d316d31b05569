import { isIP } from 'node:net';
import { DcacheError } from '@dcache/protocol';

/**
 * Refuses what a foreign web page makes a visitor's browser send: a page may POST anywhere without asking first, and a
 * name that its owner points at 127.0.0.1 passes for the same origin. Only browsers send Origin, so others are untouched.
 */
export function checkOrigin(origin: string | undefined, host: string | undefined): void {
  if (origin === undefined) return;
  let originHost: string | undefined;
  try {
    originHost = new URL(origin).host;
  } catch {
    originHost = undefined;
  }
  const name = (host ?? '').replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  const isOwnName = name === 'localhost' || isIP(name) !== 0;
  if (originHost === undefined || originHost !== host || !isOwnName)
    throw new DcacheError(
      'forbidden',
      `a page of ${JSON.stringify(origin.slice(0, 100))} may not use this server at ${JSON.stringify((host ?? '').slice(0, 100))}; requests of browsers are taken from this server's own address only`,
    );
}
