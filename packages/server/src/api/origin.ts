import { isIP } from 'node:net';
import { DcacheError } from '@dcache/protocol';

/**
 * A check of `Host` for a server that only this machine reaches and that asks for no token: there a page of a name that
 * its owner points at 127.0.0.1 could read every key by plain GETs, which carry no Origin (DNS rebinding). Taken are
 * localhost and names below it, addresses, and what is `advertised`; without a Host it is no browser.
 */
export function hostCheck(advertised: readonly string[]): (host: string | undefined) => void {
  const names = new Set(advertised.map((name) => name.toLowerCase()));
  // Clients say the same again and again.
  let lastGood: string | undefined;
  return (host) => {
    if (host === undefined || host === lastGood) return;
    const name = nameOf(host).toLowerCase();
    if (name !== '' && name !== 'localhost' && !name.endsWith('.localhost') && isIP(name) === 0 && !names.has(name))
      throw new DcacheError(
        'forbidden',
        `this server is not ${JSON.stringify(host.slice(0, 100))}; without a token it is asked as localhost, by an address, or by its --advertise name (--insecure allows any)`,
      );
    lastGood = host;
  };
}

function nameOf(host: string): string {
  return host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
}

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
  const name = nameOf(host ?? '');
  const isOwnName = name === 'localhost' || isIP(name) !== 0;
  if (originHost === undefined || originHost !== host || !isOwnName)
    throw new DcacheError(
      'forbidden',
      `a page of ${JSON.stringify(origin.slice(0, 100))} may not use this server at ${JSON.stringify((host ?? '').slice(0, 100))}; requests of browsers are taken from this server's own address only`,
    );
}
