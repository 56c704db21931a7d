// A throw-away certificate authority, and clients that trust it and nothing else.
import https from 'node:https';
import path from 'node:path';
import { readFileSync, writeFileSync } from 'node:fs';
import { run, temporaryFolder } from './process.mjs';

/** A certificate for `localhost`, signed by a CA of its own: paths, and the CA as text. */
export async function certificates() {
  const folder = temporaryFolder('ca');
  const at = (name) => path.join(folder, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await run('openssl', ['req', '-x509', ...key, '-days', '2', '-subj', '/CN=Throw-away CA', '-keyout', at('ca.key'), '-out', at('ca.pem')]);
  await run('openssl', ['req', ...key, '-subj', '/CN=localhost', '-keyout', at('tls.key'), '-out', at('tls.csr')]);
  writeFileSync(at('names'), 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n');
  await run('openssl', [
    'x509', '-req', '-in', at('tls.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2', '-extfile', at('names'), '-out', at('tls.pem'),
  ]);
  return { ca: readFileSync(at('ca.pem'), 'utf8'), caFile: at('ca.pem'), certificate: at('tls.pem'), key: at('tls.key') };
}

/** Connections that trust this CA, and come from this address of ours. */
export function agentTrusting(ca, from = '127.0.0.1') {
  return new https.Agent({ ca, family: 4, localAddress: from, keepAlive: false });
}

/** `fetch` for https alone. */
export function fetchTrusting(ca) {
  const agent = agentTrusting(ca);
  return (url, { method = 'GET', headers = {}, body } = {}) => new Promise((resolve, reject) => {
    const all = new Headers(headers);
    if (body instanceof URLSearchParams && !all.has('content-type')) all.set('content-type', 'application/x-www-form-urlencoded');
    const request = https.request(url, { method, agent, headers: Object.fromEntries(all), timeout: 15_000 }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('error', reject);
      answer.on('end', () => {
        const received = new Headers();
        for (let at = 0; at < answer.rawHeaders.length; at += 2) received.append(answer.rawHeaders[at], answer.rawHeaders[at + 1]);
        const bare = [204, 205, 304].includes(answer.statusCode);
        resolve(new Response(bare ? null : Buffer.concat(parts), { status: answer.statusCode, headers: received }));
      });
    });
    request.on('timeout', () => request.destroy(new Error(`no answer from ${url}`)));
    request.on('error', reject);
    request.end(body?.toString());
  });
}
