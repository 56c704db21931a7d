// Compositions on the running product: three backends, three identities, what is missing, who crosses, what is undone.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { Browser, authorize } from '../lib/browser.mjs';
import { startGateway } from '../lib/gateway.mjs';
import { cardea, startProduct } from '../lib/product.mjs';
import { temporaryFolder, until } from '../lib/process.mjs';
import { bearerOf } from '../lib/upstream.mjs';

const [page, bills] = ['https://page.internal', 'https://bills.internal'];
const redirectUri = 'http://127.0.0.1:9/callback';
const CLIENTS = 25;
const CALLS = 8;

/** A backend that answers by a script and keeps what it saw; `undefined` never answers. */
async function startBackend(script) {
  const seen = [];
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', async () => {
      const one = { method: request.method, target: request.url, headers: request.headers, body: Buffer.concat(pieces).toString() };
      seen.push(one);
      const answer = await script(one);
      if (answer === undefined) return;
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    seen,
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

const who = (request) => bearerOf(request)?.claims.sub;

describe('compositions', { timeout: 180_000 }, () => {
  const open = [];
  const keep = async (promise) => { const one = await promise; open.push(one); return one; };
  let product;
  let metadata;
  let gateway;
  let files;
  let app;
  let backends;

  before(async () => {
    product = await keep(startProduct());
    metadata = await product.discover();
    await product.apply(`${[['page', page], ['bills', bills]].map(([name, audience]) => `kind: ResourceServer
name: ${name}
spec: { audience: "${audience}" }
---
kind: Scope
name: ${name}_read
spec: { audience: "${audience}", description: See your ${name} }
`).join('---\n')}---
kind: Client
name: edge
spec:
  introspect: ["${page}", "${bills}"]
  events: true
  grantTypes: [client_credentials, "urn:ietf:params:oauth:grant-type:token-exchange"]
  scopes: [bills_read]
`);
    const edge = await product.admin('client', 'secret', 'add', 'edge');
    app = await product.client('page-app', {
      grants: ['client_credentials', 'authorization_code'], scopes: ['openid', 'page_read', 'bills_read'], redirectUris: [redirectUri],
    });
    const orders = await keep(startBackend(async (request) => {
      if (request.method === 'DELETE') return { body: {} };
      await new Promise((resolve) => { setImmediate(resolve); });
      return { body: { id: 7, of: who(request), path: request.target } };
    }));
    const people = await keep(startBackend((request) => ({ body: { name: `Name of ${who(request)}`, path: request.target } })));
    const sums = await keep(startBackend((request) => ({ body: { sum: 12, of: who(request) } })));
    const news = await keep(startBackend(() => ({ body: ['good'] })));
    const slow = await keep(startBackend(() => undefined));
    const gone = await startBackend(() => undefined);
    await gone.stop();
    backends = { orders, people, sums, news, slow, gone };
    const upstreams = Object.entries(backends).map(([name, backend]) => `kind: Upstream
name: ${name}
spec: { endpoints: ["${backend.url}"] }
---
kind: Service
name: ${name}
spec: { upstream: ${name}${name === 'sums' ? `, audience: "${bills}"` : ''} }
`);
    const resources = `kind: Issuer
name: main
spec: { issuer: "${product.issuer}", introspection: { as: edge, secret: "file:edge.secret", revocations: { maxLag: 1s } } }
---
${upstreams.join('---\n')}---
kind: Composition
name: page
spec:
  match: { path: "/page/{id}", methods: [GET] }
  auth: { issuer: main, scopes: [page_read] }
  audience: "${page}"
  tokens: { sts: { url: "${metadata.token_endpoint}", as: edge, secret: "file:edge.secret" } }
  steps:
  - { name: order, request: { service: orders, path: "/orders/\${ request.params.id }" } }
  - { name: person, request: { service: people, path: "/people/\${ steps.order.body.of }" } }
  - { name: bill, identity: { exchange: { audience: "${bills}", scopes: [bills_read] } }, request: { service: sums, path: /sum } }
  - { name: news, identity: none, required: false, request: { service: news, path: /news } }
  output:
    body:
      me: \${ claims.sub }
      order: \${ steps.order.body }
      person: \${ steps.person.body.name }
      bill: \${ steps.bill.body }
      news: \${ steps.news.body }
---
kind: Composition
name: parts
spec:
  match: { path: /parts }
  auth: { issuer: main }
  audience: "${page}"
  deadline: 600ms
  steps:
  - { name: order, request: { service: orders, path: /orders/1 } }
  - { name: gone, required: false, request: { service: gone, path: / } }
  - { name: slow, required: false, fallback: [], request: { service: slow, path: / } }
  output: { body: { order: "\${ steps.order.body.id }", gone: "\${ steps.gone.body }", slow: "\${ steps.slow.body }" } }
  partial: { status: 203 }
---
kind: Composition
name: broken
spec:
  match: { path: /broken }
  auth: { issuer: main }
  audience: "${page}"
  steps:
  - { name: order, request: { service: orders, path: /orders/1 } }
  - { name: gone, request: { service: gone, path: /secret-path } }
  output: { body: {} }
---
kind: Composition
name: write
spec:
  match: { path: /orders, methods: [POST] }
  auth: { issuer: main }
  audience: "${page}"
  steps:
  - name: order
    request: { service: orders, method: POST, path: /orders, body: { sku: "\${ request.body.sku }" } }
    compensate: { service: orders, method: DELETE, path: "/orders/\${ steps.order.body.id }" }
  - { name: pay, after: [order], request: { service: slow, method: POST, path: /pay, body: {} } }
  output: { body: {} }
---
kind: Route
name: mock
spec:
  match: { path: /mock }
  auth: { issuer: main }
  audience: "${page}"
  mock: { examples: [{ name: some, body: [1] }, { name: none, body: [] }] }
`;
    files = temporaryFolder('composition');
    writeFileSync(path.join(files, 'all.yaml'), resources);
    writeFileSync(path.join(files, 'edge.secret'), edge.client_secret);
    gateway = await keep(startGateway({ resources, secrets: { 'edge.secret': edge.client_secret } }));
  });
  after(async () => { for (const one of open.splice(0).reverse()) await one.stop(); });

  async function tokenBy(client, form) {
    const answer = await fetch(metadata.token_endpoint, {
      method: 'POST', headers: { authorization: `Basic ${btoa(`${client.client_id}:${client.client_secret}`)}` }, body: new URLSearchParams(form),
    });
    const body = await answer.json();
    assert.ok(body.access_token, JSON.stringify(body));
    return body.access_token;
  }

  const tokenOf = (client, scope = 'page_read bills_read') => tokenBy(client, { grant_type: 'client_credentials', scope });

  /** A token of the person, by a login. */
  async function userToken() {
    const verifier = randomBytes(32).toString('base64url');
    const url = new URL(metadata.authorization_endpoint);
    url.search = new URLSearchParams({
      client_id: app.client_id, redirect_uri: redirectUri, response_type: 'code', scope: 'openid page_read bills_read',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
    });
    const back = await authorize(new Browser(), url, redirectUri, product.user);
    return tokenBy(app, { grant_type: 'authorization_code', code: back.url.searchParams.get('code'), redirect_uri: redirectUri, code_verifier: verifier });
  }

  test('one answer out of four backends, each told what it may know', async () => {
    const token = await userToken();

    const answer = await gateway.call('/page/7', token, { cookie: 'c=1', 'x-user': 'root' });

    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    const id = JSON.parse(text).me;
    assert.ok(id && id !== app.client_id && id !== 'edge');
    assert.deepEqual(JSON.parse(text), {
      me: id, order: { id: 7, of: id, path: '/orders/7' }, person: `Name of ${id}`, bill: { sum: 12, of: id }, news: ['good'],
    });
    assert.match(answer.headers.get('cardea-parts'), /^order;outcome=done;status=200, /);
    const keys = createLocalJWKSet(await (await fetch(metadata.jwks_uri)).json());
    const verify = (backend, audience) => jwtVerify(bearerOf(backend.seen.at(-1)).token, keys, { issuer: product.issuer, audience, typ: 'at+jwt' });
    const forwarded = await verify(backends.orders, page);
    const exchanged = await verify(backends.sums, bills);
    assert.deepEqual([exchanged.payload.sub, exchanged.payload.act, exchanged.payload.scope], [id, { sub: 'edge' }, 'bills_read']);
    assert.ok(!forwarded.payload.act);
    assert.equal(backends.news.seen.at(-1).headers.authorization, undefined);
    for (const backend of [backends.orders, backends.people, backends.sums, backends.news]) {
      const seen = JSON.stringify(backend.seen);
      assert.ok(!seen.includes(token) && !seen.includes('root') && !seen.includes('c=1'));
      assert.equal(backend.seen.at(-1).headers['x-request-id'], answer.headers.get('x-request-id'));
    }
    assert.ok(!`${text}${JSON.stringify([...answer.headers])}`.includes('eyJ'), 'no JWT comes back');
  });

  test('a token without the scope for a step is refused there, and that part is named', async () => {
    const answer = await gateway.call('/page/7', await tokenOf(app, 'page_read'));

    const problem = await answer.json();
    assert.deepEqual([answer.status, problem.type.split('/').at(-1)], [502, 'part_identity']);
    assert.match(problem.detail, /^part `bill`: /);
    assert.equal(problem.request_id, answer.headers.get('x-request-id'));
  });

  test('one dead and one slow optional part: the right partial answer within the deadline', async () => {
    const token = await tokenOf(app);
    const begun = performance.now();

    const answer = await gateway.call('/parts', token);

    const took = performance.now() - begun;
    const body = await answer.json();
    assert.equal(answer.status, 203, JSON.stringify(body));
    assert.deepEqual([body.order, body.gone, body.slow], [7, null, []]);
    assert.deepEqual(body.parts.map((part) => [part.name, part.outcome, part.error]), [
      ['order', 'done', undefined], ['gone', 'failed', 'unreachable'], ['slow', 'fallback', 'deadline'],
    ]);
    assert.ok(took >= 590 && took < 3_000, `${took} ms`);
  });

  test('a dead required part is 502, and says no more of the backend than its part', async () => {
    const answer = await gateway.call('/broken', await tokenOf(app));

    const text = await answer.text();
    assert.equal(answer.status, 502);
    assert.equal(JSON.parse(text).type.split('/').at(-1), 'part_unreachable');
    assert.ok(!text.includes('127.0.0.1') && !text.includes('secret-path'), text);
  });

  test('many clients at once: nothing crosses', async () => {
    const clients = Array.from({ length: CLIENTS }, (_, at) => `many-${at}`);
    await product.apply(clients.map((name) => ({ kind: 'Client', name, spec: { grantTypes: ['client_credentials'], scopes: ['page_read', 'bills_read'] } })));
    const tokens = [];
    for (const name of clients) {
      const { client_id: id, client_secret: secret } = await product.admin('client', 'secret', 'add', name);
      tokens.push([id ?? name, await tokenOf({ client_id: id ?? name, client_secret: secret })]);
    }
    const calls = tokens.flatMap((one) => Array.from({ length: CALLS }, () => one));

    await Promise.all(calls.map(async ([id, token], at) => {
      const answer = await gateway.call(`/page/${at}`, token);
      const body = await answer.json();
      assert.equal(answer.status, 200, JSON.stringify(body));
      assert.deepEqual([body.me, body.order.of, body.order.path, body.person], [id, id, `/orders/${at}`, `Name of ${id}`]);
    }));

    for (const request of backends.people.seen) assert.equal(request.target, `/people/${who(request)}`);
  });

  test('a client that leaves takes its steps along, and what they did', async () => {
    const token = await tokenOf(app);
    const leave = new AbortController();
    const before = backends.slow.seen.length;

    const gone = fetch(`${gateway.url}/orders`, {
      method: 'POST', signal: leave.signal, body: JSON.stringify({ sku: 'a' }),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    }).catch((error) => error.name);
    await until('the second step has begun', () => backends.slow.seen.length > before);
    leave.abort();

    assert.equal(await gone, 'AbortError');
    const undo = await until('the first step is undone', () => backends.orders.seen.find((one) => one.method === 'DELETE'));
    assert.equal(undo.target, '/orders/7');
    assert.equal(backends.orders.seen.find((one) => one.method === 'POST').body, '{"sku":"a"}');
  });

  test('a mock asks for the token that the service will ask for, and gives the preferred example', async () => {
    const token = await tokenOf(app);

    const [without, first, preferred] = await Promise.all([
      gateway.call('/mock'), gateway.call('/mock', token), gateway.call('/mock', token, { prefer: 'example=none' }),
    ]);

    assert.deepEqual([without.status, await first.json(), await preferred.json()], [401, [1], []]);
    assert.equal(preferred.headers.get('preference-applied'), 'example=none');
  });

  test('a revoked token opens nothing, whatever was exchanged for it', async () => {
    const token = await tokenOf(app);
    assert.equal((await gateway.call('/page/1', token)).status, 200);
    const before = backends.sums.seen.length;

    const revoked = await fetch(metadata.revocation_endpoint, {
      method: 'POST', headers: { authorization: `Basic ${btoa(`${app.client_id}:${app.client_secret}`)}` }, body: new URLSearchParams({ token }),
    });

    assert.equal(revoked.status, 200);
    await until('the gateway has heard', async () => (await gateway.call('/page/1', token)).status === 401, { within: 2_000 });
    const after = backends.sums.seen.length;
    assert.equal((await gateway.call('/page/1', token)).status, 401);
    assert.equal(backends.sums.seen.length, after);
    assert.ok(after >= before);
  });

  test('plan, run, openapi and explain tell what is there', async () => {
    const all = path.join(files, 'all.yaml');
    const plan = JSON.parse(await cardea(['compose', 'plan', 'page', all, '--param', 'id=7', '--json']));
    assert.deepEqual(plan.levels, [['order', 'bill', 'news'], ['person']]);

    const run = JSON.parse(await cardea(['compose', 'run', 'parts', all, '--json']));
    assert.equal(run.status, 203);
    assert.deepEqual(run.report.parts.map((part) => part.outcome), ['done', 'failed', 'fallback']);
    assert.ok(run.report.parts.every((part) => part.duration_ms <= 700));

    const described = JSON.parse(await cardea(['compose', 'openapi', all, '--server', gateway.url]));
    assert.equal(described.openapi, '3.1.0');
    const served = await (await fetch(`${gateway.ops}/admin/v1/gateway/openapi.json`, { headers: { authorization: `Bearer ${gateway.adminToken}` } })).json();
    assert.deepEqual(served.paths['/page/{id}'].get.security, [{ main: ['page_read'] }]);
    assert.deepEqual(served.paths['/page/{id}'], described.paths['/page/{id}']);
    const explained = await cardea(['explain', 'GET', '/page/7', '--server', gateway.ops, '--admin-token', gateway.adminToken]);
    assert.match(explained, /answers {3}page \(\/page\/\{id\}\)/);
    assert.match(explained, /level 2 {3}person: GET people/);
    const metrics = await (await fetch(`${gateway.ops}/metrics`)).text();
    assert.match(metrics, /cardea_compositions_total\{composition="page",ending="complete"\} \d+/);
    assert.match(metrics, /part="slow",outcome="fallback",error="deadline"/);
  });
});
