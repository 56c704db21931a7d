// An API behind a gateway that answers with what it saw, and a wire that keeps all that passes.
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import path from 'node:path';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { run, temporaryFolder } from './process.mjs';

/** Answers each request with its method, target and headers in JSON, and keeps them. */
export async function startUpstream() {
  const seen = [];
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      const one = { method: request.method, target: request.url, headers: request.headers };
      seen.push(one);
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ sub: bearerOf(one)?.claims.sub }));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    seen,
    url: `http://localhost:${server.address().port}`,
    port: server.address().port,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

/** The JWT of a request, opened but not verified. */
export function bearerOf(request) {
  const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (!token || token.split('.').length !== 3) return undefined;
  const [header, claims] = token.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
  return { token, header, claims };
}

/** A TCP relay to `port` that keeps every byte of both directions. */
export async function startWire(port) {
  const kept = [];
  const sockets = new Set();
  const server = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]]) {
      sockets.add(from);
      from.on('data', (data) => { kept.push(data); to.write(data); });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => { sockets.delete(from); to.destroy(); });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    url: `http://localhost:${server.address().port}`,
    /** All that passed, as one text. */
    text: () => Buffer.concat(kept).toString('latin1'),
    async stop() {
      sockets.forEach((socket) => socket.destroy());
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

/** TLS in front of `port`, with a certificate that nobody signed: for clients that refuse http. */
export async function startTls(port) {
  const folder = temporaryFolder('tls');
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(folder, name));
  await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out', cert]);
  const server = tls.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (near) => {
    const far = net.connect(port, '127.0.0.1');
    near.pipe(far).pipe(near);
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `https://localhost:${server.address().port}`, stop: () => server.close() };
}
