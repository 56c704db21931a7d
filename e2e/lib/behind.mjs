// One public address with TLS: identity behind the gateway, by the resources of the handbook as they stand there.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { certificates, fetchTrusting } from './https.mjs';
import { freePorts, temporaryFolder, until } from './process.mjs';
import { Product, startCardea } from './product.mjs';
import { startUpstream } from './upstream.mjs';

const audience = 'https://orders.internal';

/** The YAML blocks of that section: configuration, resources, and the issuer for a gateway on its own. */
function handbook() {
  const text = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const section = /## Identity behind the gateway\n([\s\S]*?)\n## /.exec(text)[1];
  return [...section.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block]) => block);
}

export async function startBehind({ apart }) {
  const folder = temporaryFolder('behind');
  const write = (file, text) => {
    writeFileSync(path.join(folder, `${file}.new`), text, { mode: 0o600 });
    renameSync(path.join(folder, `${file}.new`), path.join(folder, file));
  };
  const [tls, api, port] = [await certificates(), await startUpstream(), await freePorts(4)];
  const [, resources, issuerAlone] = handbook();
  const url = `https://localhost:${port}`;
  const inner = `127.0.0.1:${port + 1}`;
  const here = (yaml) => yaml.replaceAll('https://api.example.com', url).replaceAll('127.0.0.1:8081', inner);
  const adminToken = `cad_${randomBytes(24).toString('base64url')}`;
  const password = randomBytes(12).toString('base64url');
  mkdirSync(path.join(folder, 'resources'));
  mkdirSync(path.join(folder, 'people'));
  write('master.key', randomBytes(48).toString('base64url'));
  write('admin.token', adminToken);
  write('people/dana.password', password);
  write('resources/identity.yaml', here(resources));
  const file = (ops) => `data: ./data-${ops}
identity:
  issuer: ${url}
  listen: ${inner}
  database: sqlite
  masterKey: file:./master.key
  trustedProxies: [127.0.0.1/32]
gateway:
  listen: [{ address: "127.0.0.1:${port}", tls: { certificates: [{ certificate: ${tls.certificate}, key: "file:${tls.key}" }] } }]
  publicUrl: ${url}
  resources: ./resources
ops:
  listen: 127.0.0.1:${ops}
  adminToken: file:./admin.token
`;
  const serve = async (roles, ops) => {
    write(`cardea-${ops}.yaml`, file(ops));
    const server = startCardea(roles, ['serve', '--config', path.join(folder, `cardea-${ops}.yaml`), '--roles', roles], { env: { SSL_CERT_FILE: tls.caFile } });
    await until(`${roles} is ready`, async () => (await fetch(`http://localhost:${ops}/readyz`)).ok, { server });
    return server;
  };
  const servers = apart ? [await serve('identity', port + 2), await serve('gateway', port + 3)] : [await serve('identity,gateway', port + 2)];
  const product = new Product([api, ...servers], folder, { issuer: url, gateway: url, ops: `http://localhost:${port + 2}`, admin_token: adminToken });

  write('people/people.yaml', `kind: ResourceServer
name: orders
spec: { audience: ${audience} }
---
kind: Scope
name: orders.read
spec: { audience: ${audience}, description: See your orders }
---
kind: Client
name: gateway
spec: { introspect: ["${audience}"], events: true }
---
kind: User
name: dana
spec: { name: Dana Example, password: "file:dana.password" }
`);
  await product.admin('apply', '-f', path.join(folder, 'people'));
  const caller = await product.admin('client', 'secret', 'add', 'gateway');
  write('resources/gateway.secret', caller.client_secret);
  const together = `kind: Issuer
name: main
spec: { issuer: "${url}", introspection: { as: gateway, secret: "file:gateway.secret", revocations: { maxLag: 5s } } }
`;
  write('resources/orders.yaml', `${apart ? here(issuerAlone) : together}---
kind: Upstream
name: orders
spec: { endpoints: ["http://127.0.0.1:${api.port}"] }
---
kind: Service
name: orders
spec: { upstream: orders, audience: "${audience}" }
---
kind: Route
name: orders
spec: { match: { path: "/orders/{id}" }, service: orders, auth: { issuer: main, scopes: [orders.read] } }
`);
  const ask = fetchTrusting(tls.ca);
  await until('the gateway knows the API', async () => (await ask(`${url}/orders/1`)).status === 401, { server: servers.at(-1) });
  return Object.assign(product, { api, tls, ask, inner: `http://${inner}`, introspection: caller, user: { username: 'dana', password } });
}
