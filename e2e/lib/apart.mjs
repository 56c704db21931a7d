// Identity and gateway each in a process of its own, on PostgreSQL, with the sample of `cardea dev` made by hand.
import http from 'node:http';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { startGateway } from './gateway.mjs';
import { freePorts, temporaryFolder, until } from './process.mjs';
import { Product, startCardea } from './product.mjs';
import { bearerOf } from './upstream.mjs';

const audience = 'https://echo.internal';

export async function startApart() {
  const folder = temporaryFolder('apart');
  const write = (file, text) => writeFileSync(path.join(folder, file), text, { mode: 0o600 });
  const postgres = process.env.CARDEA_TEST_PG;
  if (!postgres) throw new Error('CARDEA_TEST_PG names a PostgreSQL; scripts/with-postgres.sh starts one');
  const adminToken = `cad_${randomBytes(24).toString('base64url')}`;
  write('master.key', randomBytes(48).toString('base64url'));
  write('admin.token', adminToken);
  write('database.url', postgres);

  const [port, ops] = [await freePorts(), await freePorts()];
  const issuer = `http://localhost:${port}`;
  write('cardea.yaml', `data: ./data
identity:
  issuer: ${issuer}
  listen: 127.0.0.1:${port}
  masterKey: file:./master.key
  database: { postgres: "file:./database.url", schema: e2e_${randomBytes(6).toString('hex')} }
ops:
  listen: 127.0.0.1:${ops}
  adminToken: file:./admin.token
`);
  const identity = startCardea('identity', ['serve', '--config', path.join(folder, 'cardea.yaml'), '--roles', 'identity']);
  await until('the identity system is ready', async () => (await fetch(`http://localhost:${ops}/readyz`)).ok, { server: identity });

  const product = new Product([identity], folder, { issuer, ops: `http://localhost:${ops}`, admin_token: adminToken });
  const password = randomBytes(12).toString('base64url');
  mkdirSync(path.join(folder, 'sample'));
  write('sample/dana.password', password);
  write('sample/sample.yaml', `kind: ResourceServer
name: echo
spec: { audience: ${audience} }
---
kind: Scope
name: echo.read
spec: { audience: ${audience}, description: Hear your own echo, claims: { account_nr: client.account_nr } }
---
kind: Client
name: hello-app
spec:
  grantTypes: [client_credentials]
  scopes: [echo.read]
  attributes: { account_nr: 4711-0815 }
---
kind: Client
name: gateway
spec: { introspect: ["${audience}"], events: true }
---
kind: User
name: dana
spec: { name: Dana Example, password: "file:dana.password" }
`);
  await product.admin('apply', '-f', path.join(folder, 'sample'));
  const [app, caller] = [await product.admin('client', 'secret', 'add', 'hello-app'), await product.admin('client', 'secret', 'add', 'gateway')];

  const echo = await startEcho();
  const gateway = await startGateway({
    secrets: { 'gateway.secret': caller.client_secret },
    resources: `kind: Issuer
name: main
spec: { issuer: "${issuer}", introspection: { as: gateway, secret: "file:gateway.secret", revocations: { maxLag: 5s } } }
---
kind: Upstream
name: echo
spec: { endpoints: ["http://127.0.0.1:${echo.port}"] }
---
kind: Service
name: echo
spec: { upstream: echo, audience: "${audience}" }
---
kind: Route
name: echo
spec: { match: { path: "/echo/{rest...}" }, service: echo, auth: { issuer: main, scopes: [echo.read] } }
`,
  });
  product.servers.push(gateway, echo);
  return Object.assign(product, {
    gateway: gateway.url,
    sample: { scope: 'echo.read', audience, ...app },
    introspection: caller,
    user: { username: 'dana', password },
  });
}

/** As the sample API of `cardea dev`: what it received, opened. */
async function startEcho() {
  const server = http.createServer((request, response) => {
    const seen = bearerOf({ headers: request.headers });
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ upstream_received: { header: seen?.header, claims: seen?.claims } }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: server.address().port, async stop() { server.closeAllConnections(); server.close(); } };
}
