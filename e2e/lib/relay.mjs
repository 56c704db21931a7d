// A piece of wire between two servers that can be cut, and mended: what is behind it is then gone for who asks.
import net from 'node:net';
import { once } from 'node:events';

export async function startRelay(target) {
  const { hostname, port } = new URL(target);
  const open = new Set();
  let whole = true;
  const server = net.createServer((inner) => {
    inner.on('error', () => {});
    if (!whole) { inner.destroy(); return; }
    const outer = net.connect(Number(port), hostname);
    for (const [one, other] of [[inner, outer], [outer, inner]]) {
      open.add(one);
      one.on('error', () => {});
      one.on('close', () => { open.delete(one); other.destroy(); });
      one.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    whole = false;
    for (const socket of open) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut,
    mend() { whole = true; },
    async stop() {
      cut();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}
