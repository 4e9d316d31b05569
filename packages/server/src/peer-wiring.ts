import type { Clock, Logger } from '@dcache/base';
import type { Standing } from './members/standing.js';
import { handlePeerFrame } from './peer-frames.js';
import type { Forwarder } from './peers/forwarder.js';
import { Peers } from './peers/peers.js';
import type { Running } from './running.js';
import type { Security } from './security/security.js';
import { type Address, parseAddress } from './settings/address.js';
import type { CacheStateMachine } from './state/state-machine.js';

export interface PeerWiringParts {
  /** This node's name. */
  readonly name: string;
  readonly standing: Standing;
  readonly security: Security;
  readonly stateMachine: CacheStateMachine;
  /** They need each other: the forwarder sends over what is made here. */
  readonly forwarder: () => Forwarder;
  readonly running: () => Running | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The connections to the other nodes, and where what comes over them goes. */
export function wirePeers(parts: PeerWiringParts): Peers {
  const { name, standing, security, stateMachine, forwarder, running, clock, logger } = parts;
  /** What gossip says of a Raft id; of one that the log knows, under the name that it has there. */
  const gossip = (id: number) => {
    const known = stateMachine.directory.get(id)?.name;
    return running()
      ?.membership.gossip()
      .find((member) => member.raftId === id && (known === undefined || member.name === known));
  };

  /** Gossip knows best where a node is now; the log knows it of those that gossip has lost. */
  const addressOf = (id: number): Address | undefined => {
    const told = gossip(id);
    const rpcAddr = told?.status === 'alive' ? told.rpcAddr : stateMachine.directory.get(id)?.rpcAddr;
    return rpcAddr === undefined ? undefined : parseAddress(rpcAddr);
  };

  const nameOf = (id: number): string | undefined => stateMachine.directory.get(id)?.name ?? gossip(id)?.name;

  return new Peers({
    identity: () => {
      const { raftId: id, cluster } = standing.known;
      return { id, name, cluster, gossipPort: standing.meetingPort };
    },
    addressOf,
    onFrame: (from, kind, payload, reply) => {
      const node = running();
      const targets = {
        appendAll: node && ((commands) => node.groupCommit.appendAll(commands)),
        remove: node && ((id) => node.membership.remove(id)),
        onForwarded: (sender, bytes) => forwarder().receive(sender, bytes),
        onLeaveAnswered: (bytes) => node?.departure.receive(bytes),
      } satisfies Parameters<typeof handlePeerFrame>[4];
      handlePeerFrame(from, kind, payload, reply, targets, logger);
    },
    onLinkUp: () => running()?.membership.look(),
    onLinkDown: (id) => forwarder().linkDown(id),
    onStranger: (id, stranger) => {
      const member = nameOf(id);
      if (member !== undefined) standing.meeting.meet(member, stranger);
    },
    security: {
      keys: () => security.keyring?.keys,
      tls: security.tls,
      nameOf,
    },
    clock,
    logger,
  });
}
