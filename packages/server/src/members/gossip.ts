import { join } from 'node:path';
import type { Clock, Logger } from '@dcache/base';
import { type ConflictReport, lan, Serf } from '@dcache/serf';
import type { Security } from '../security/security.js';
import { formatAddress } from '../settings/address.js';
import type { ResolvedOptions } from '../settings/options.js';

export interface GossipListeners {
  /** Somebody came, changed, left or failed. */
  readonly onChange: () => void;
  /** Another live node has this one's name, and more of the pool knows it there. */
  readonly onNameLost: () => void;
  /** Whether this node keeps its name against another live node that has it, whatever the pool knows. */
  readonly keepsName: (conflict: ConflictReport) => boolean;
}

/** This node's Serf, not started. */
export function makeGossip(
  options: ResolvedOptions,
  security: Security,
  clock: Clock,
  logger: Logger,
  listeners: GossipListeners,
): Serf {
  const { serfAddress, id, inMemory, dataDir, advertise, keyringFile } = options;
  const serf = new Serf({
    ...lan(),
    // Who leaves was taken out of the log's configuration before: gossip is told, but not waited for longer than that.
    broadcastTimeoutMs: 1_000,
    leavePropagateDelayMs: 500,
    name: id,
    bind: formatAddress(serfAddress.host, serfAddress.port),
    ...(advertise ? { advertise: formatAddress(advertise.host, advertise.port ?? serfAddress.port) } : {}),
    // A durable node finds its pool again by itself, without --join.
    ...(inMemory ? {} : { snapshotPath: join(dataDir, 'serf.snapshot') }),
    ...(security.keyring ? { keyring: security.keyring } : {}),
    ...(keyringFile === undefined ? {} : { keyringFile }),
    keepsName: listeners.keepsName,
    logger,
    clock,
  });
  for (const event of ['member-join', 'member-update', 'member-leave', 'member-failed'] as const)
    serf.on(event, listeners.onChange);
  serf.on('shutdown', listeners.onNameLost);
  return serf;
}
