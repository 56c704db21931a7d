// On the wire: the opaque token is nowhere behind the gateway, the JWT nowhere before it; and what is
// revoked is closed at every gateway, also when the feed is cut.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startGateway } from '../lib/gateway.mjs';
import { until } from '../lib/process.mjs';
import { startProduct } from '../lib/product.mjs';
import { bearerOf, startUpstream, startWire } from '../lib/upstream.mjs';

const audience = 'https://orders.internal';

describe('the wire', { timeout: 120_000 }, () => {
  const open = [];
  let product;
  let metadata;
  let upstream;
  let behind;
  let front;
  let feed;
  let edge;
  let app;
  let gateways;

  before(async () => {
    product = await started(startProduct());
    metadata = await product.discover();
    await product.apply(`kind: ResourceServer
name: orders
spec: { audience: "${audience}" }
---
kind: Scope
name: orders_read
spec: { audience: "${audience}", description: See your orders }
---
kind: Client
name: edge
spec: { introspect: ["${audience}"], events: true }
---
kind: Client
name: orders-app
spec: { grantTypes: [client_credentials], scopes: [orders_read] }
`);
    [edge, app] = await Promise.all(['edge', 'orders-app'].map((name) => product.admin('client', 'secret', 'add', name)));
    upstream = await started(startUpstream());
    behind = await started(startWire(upstream.port));
    // What the second gateway hears of revocations passes here, so that it can be cut.
    feed = await started(startWire(Number(new URL(product.issuer).port)));
    gateways = [];
    for (const [name, revocations] of [['gateway-one', ''], ['gateway-two', `, endpoint: "${feed.url}${new URL(eventsEndpoint()).pathname}"`]]) {
      gateways.push(await started(startGateway({
        name,
        secrets: { 'edge.secret': edge.client_secret },
        resources: `kind: Issuer
name: main
spec: { issuer: "${product.issuer}", introspection: { as: edge, secret: "file:edge.secret", revocations: { maxLag: 1s${revocations} } } }
---
kind: Upstream
name: orders
spec: { endpoints: ["http://127.0.0.1:${behind.port}"] }
---
kind: Service
name: orders
spec: { upstream: orders, audience: "${audience}" }
---
kind: Route
name: orders
spec: { match: { path: "/orders/{id}" }, service: orders, auth: { issuer: main, scopes: [orders_read] } }
`,
      })));
    }
    front = await started(startWire(gateways[0].port));
  });
  after(async () => {
    for (const one of open.reverse()) await one.stop();
  });

  test('the opaque token stays in front, the JWT behind', async () => {
    const token = await machineToken();

    const answer = await fetch(`${front.url}/orders/1`, { headers: { authorization: `Bearer ${token}` } });

    assert.equal(answer.status, 200, await answer.text());
    const jwt = bearerOf(upstream.seen.at(-1));
    assert.equal(jwt.header.typ, 'at+jwt');
    assert.deepEqual([jwt.claims.aud].flat(), [audience]);
    assert.ok(front.text().includes(token), 'the wire in front was heard');
    assert.ok(behind.text().includes(jwt.token), 'the wire behind was heard');
    assert.ok(!behind.text().includes(token), 'the opaque token is not behind the gateway');
    assert.ok(!behind.text().includes(token.split('_').at(-1)), 'nor a part of it');
    for (const part of jwt.token.split('.')) assert.ok(!front.text().includes(part), 'no part of the JWT is before the gateway');
  });

  test('identity headers from outside do not pass, in any spelling', async () => {
    const token = await machineToken();

    const answer = await gateways[0].call('/orders/1', token, { 'x-forwarded-user': 'root', 'X_Forwarded_User': 'root', 'x-forwarded-for': '9.9.9.9' });

    assert.equal(answer.status, 200);
    const { headers } = upstream.seen.at(-1);
    assert.ok(!JSON.stringify(headers).includes('root'), JSON.stringify(headers));
    assert.ok(!(headers['x-forwarded-for'] ?? '').includes('9.9.9.9'));
  });

  test('a revoked token is closed at both gateways, fast', async () => {
    const token = await machineToken();
    for (const gateway of gateways) assert.equal((await gateway.call('/orders/1', token)).status, 200);

    await revoke(token);

    const acknowledged = performance.now();
    await Promise.all(gateways.map((gateway) => closed(gateway, token)));
    const took = performance.now() - acknowledged;
    // The aim is 100 ms; a busy test machine gets slack, the benchmark does not.
    assert.ok(took < 1_000, `${took} ms`);
  });

  test('a token in the query or under another scheme opens nothing', async () => {
    const token = await machineToken();
    const before = upstream.seen.length;

    const answers = await Promise.all([
      gateways[0].call(`/orders/1?access_token=${token}`),
      gateways[0].call('/orders/1', undefined, { authorization: `Basic ${token}` }),
      gateways[0].call('/orders/1', undefined, { authorization: `Basic Bearer ${token}` }),
      gateways[0].call('/orders/1', undefined, { authorization: `Bearer ${token} ${token}` }),
    ]);

    assert.ok(answers.every((answer) => [400, 401].includes(answer.status)), answers.map((answer) => answer.status).join());
    assert.equal(upstream.seen.length, before);
  });

  test('the scheme is read without regard to case', async () => {
    const token = await machineToken();

    const answer = await gateways[0].call('/orders/1', undefined, { authorization: `bearer ${token}` });

    assert.equal(answer.status, 200);
  });

  test('a denial is a problem that a program can read', async () => {
    const answer = await gateways[0].call('/orders/1');

    assert.equal(answer.status, 401);
    assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
    const problem = await answer.json();
    assert.equal(problem.status, 401);
    assert.ok(problem.type && problem.title);
    assert.match(answer.headers.get('www-authenticate'), /^Bearer .*resource_metadata="http/);
    const where = /resource_metadata="([^"]+)"/.exec(answer.headers.get('www-authenticate'))[1];
    const described = await (await fetch(where)).json();
    assert.deepEqual(described.authorization_servers, [product.issuer]);
  });

  test('with the feed cut, what is kept is not used beyond the lag that was set', async () => {
    const [, second] = gateways;
    const token = await machineToken();
    assert.equal((await second.call('/orders/1', token)).status, 200);
    await feed.stop();

    await revoke(token);

    await closed(second, token, 5_000);
  });

  const started = async (promise) => { const one = await promise; open.push(one); return one; };

  const eventsEndpoint = () => metadata.events_endpoint ?? metadata.event_poll_endpoint ?? `${product.issuer}/events/poll`;

  const closed = (gateway, token, within = 2_000) => until('the gateway denies', async () => (await gateway.call('/orders/1', token)).status === 401, { within, every: 2 });

  const post = (endpoint, form) => fetch(endpoint, {
    method: 'POST', headers: { authorization: `Basic ${btoa(`${app.client_id}:${app.client_secret}`)}` }, body: new URLSearchParams(form),
  });

  async function revoke(token) {
    assert.equal((await post(metadata.revocation_endpoint, { token })).status, 200);
  }

  async function machineToken() {
    const answer = await (await post(metadata.token_endpoint, { grant_type: 'client_credentials', scope: 'orders_read' })).json();
    assert.ok(answer.access_token, JSON.stringify(answer));
    return answer.access_token;
  }
});
