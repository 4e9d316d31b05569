// A Raft node for benches that need nothing of the server: its log on a disk or in memory, its peers over TCP.
import { connect, createServer } from 'node:net';
import { join } from 'node:path';

const { DiskStorage, MemoryStorage, RaftNode, StreamTransport } = await import('../packages/raft/dist/index.js');

/** Starts a node; without a folder its log is in memory. `dial(to, port)` connects it to the node of that id. */
export async function startNode(id, folder, options) {
  const transport = new StreamTransport();
  const storage =
    folder === undefined
      ? new MemoryStorage()
      : await DiskStorage.open({ directory: join(folder, `n${id}`), nodeId: id });
  const node = new RaftNode({ id, storage, transport, ...options });
  node.on('fatal', (error) => {
    throw error;
  });
  await node.start();
  const server = createServer({ noDelay: true }, (socket) => {
    // Both ends trust each other: the first byte says who dials.
    socket.once('readable', () => transport.attach(socket.read(1)[0], socket));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const dial = (to, port) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => {
      socket.write(Uint8Array.of(id));
      transport.attach(to, socket);
    });
  };
  return { node, port: server.address().port, dial };
}
