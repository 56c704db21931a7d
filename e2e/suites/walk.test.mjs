// The whole walk: a developer's application is registered and subscribed, npm openid-client gets a token with the
// credentials that were shown once, and calls an API composed of three backends through a plan. Then each part is
// broken once: the status says which, and the operator finds the reason by the request's id.
import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import * as client from 'openid-client';
import { startDev } from '../lib/product.mjs';
import { until } from '../lib/process.mjs';

const audience = 'https://page.internal';

async function startBackend(body) {
  const server = http.createServer((_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

describe('the whole walk', { timeout: 120_000 }, () => {
  let product;
  let backends;
  let app;

  const manage = async (method, where, body) => {
    const answer = await fetch(`${product.ops}/management/v1${where}`, {
      method, headers: { authorization: `Bearer ${product.admin_token}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, body: text ? JSON.parse(text) : {} };
  };

  const good = async (method, where, body) => {
    const answer = await manage(method, where, body);
    assert.ok(answer.status < 300, `${method} ${where}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };

  /** A developer's application: registered, its secret shown once, subscribed. */
  async function application(name, { plan, scopes = [] } = {}) {
    const made = await good('POST', '/organisations/walkers/applications', { name, kind: 'service', scopes });
    assert.equal(made.state, 'registered', JSON.stringify(made));
    const shown = await good('POST', `/applications/${made.id}/credentials`);
    if (plan) await good('POST', '/organisations/walkers/subscriptions', { application: made.id, plan });
    await until('the identity system knows its scopes', async () => (await good('GET', `/applications/${made.id}`)).settled, { within: 10_000 });
    return { id: made.id, ...shown };
  }

  /** As a program of the developer's would, with the library of its choice. */
  async function tokenOf({ clientId, clientSecret }, scope) {
    const config = await client.discovery(new URL(product.issuer), clientId, undefined, client.ClientSecretBasic(clientSecret), { execute: [client.allowInsecureRequests] });
    return (await client.clientCredentialsGrant(config, scope ? { scope } : {})).access_token;
  }

  const call = async (token) => {
    const answer = await fetch(`${product.gateway}/page/7`, { headers: token ? { authorization: `Bearer ${token}` } : {} });
    return { status: answer.status, headers: answer.headers, body: await answer.json() };
  };

  /** What the operator finds by the request's id. */
  const found = (answer) => until('the ledger has the call', async () => {
    const { status, body } = await manage('GET', `/usage/calls/${answer.body.request_id ?? answer.headers.get('x-request-id')}`);
    return status === 200 && body;
  }, { within: 10_000 });

  before(async () => {
    product = await startDev();
    backends = {
      order: await startBackend({ id: 7, customer: 'c1' }),
      customer: await startBackend({ name: 'Ann' }),
      stock: await startBackend({ left: 3 }),
    };
    await product.apply([
      { kind: 'ResourceServer', name: 'page', spec: { audience } },
      { kind: 'Scope', name: 'page_read', spec: { audience, description: 'Read the page' } },
      { kind: 'Client', name: 'gateway', spec: { displayName: 'The gateway', introspect: ['https://echo.internal', audience], events: true } },
    ]);
    const served = Object.entries(backends).flatMap(([name, backend]) => [
      { kind: 'Upstream', name: `walk-${name}`, spec: { endpoints: [backend.url] } },
      { kind: 'Service', name: `walk-${name}`, spec: { upstream: `walk-${name}`, api: 'page' } },
    ]);
    const step = (name, path, more = {}) => ({ name, request: { service: `walk-${name}`, path }, ...more });
    await good('POST', '/apply', { resources: [
      ...served,
      { kind: 'Api', name: 'page', spec: { title: 'Page', version: '1.0.0', visibility: 'public' } },
      { kind: 'Composition', name: 'page', spec: {
        api: 'page', match: { path: '/page/{id}', methods: ['GET'] }, auth: { issuer: 'main', scopes: ['page_read'] }, audience, deadline: '2s',
        steps: [step('order', '/orders/${ request.params.id }'), step('customer', '/customers/${ steps.order.body.customer }'), step('stock', '/stock')],
        output: { body: { order: '${ steps.order.body.id }', customer: '${ steps.customer.body.name }', left: '${ steps.stock.body.left }' } },
      } },
      { kind: 'Plan', name: 'walk', spec: { title: 'Walk', apis: ['page'], rate: { requests: 1000, per: '1m' } } },
      { kind: 'Plan', name: 'two', spec: { title: 'Two a minute', apis: ['page'], rate: { requests: 2, per: '1m' } } },
    ] });
    await good('POST', '/organisations', { name: 'Walkers', id: 'walkers' });
    app = await application('walker', { plan: 'walk' });
  });
  after(async () => {
    for (const backend of Object.values(backends ?? {})) await backend.stop().catch(() => {});
    await product?.stop();
  });

  test('the application calls the composed API through its plan, and the call is in the ledger', async () => {
    const token = await tokenOf(app, 'page_read');
    const answer = await until('the subscription is in force', async () => { const one = await call(token); return one.status !== 403 && one; }, { within: 5_000 });

    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.deepEqual(answer.body, { order: 7, customer: 'Ann', left: 3 });
    assert.match(answer.headers.get('ratelimit'), /r=\d+/);
    const record = await found(answer);
    assert.equal(record.outcome, 'served', JSON.stringify(record));
  });

  test('without a token, and with one of a deleted application: 401', async () => {
    assert.equal((await call()).status, 401);
    const gone = await application('gone', { plan: 'walk' });
    const token = await tokenOf(gone, 'page_read');
    await until('it is in force', async () => (await call(token)).status === 200, { within: 5_000 });

    assert.equal((await good('DELETE', `/applications/${gone.id}`)).state, 'deleted');

    const answer = await until('the gateway has heard of it', async () => { const one = await call(token); return one.status === 401 && one; }, { within: 2_000 });
    assert.match(answer.body.type, /invalid_token$/);
    await assert.rejects(tokenOf(gone, 'page_read'), 'the identity system gives it no more tokens');
  });

  test('without a plan: 403, and the reason is found', async () => {
    const answer = await call(await tokenOf(await application('without', { scopes: ['page_read'] }), 'page_read'));

    assert.equal(answer.status, 403);
    assert.match(answer.body.type, /no_subscription$/);
    assert.equal((await found(answer)).reason, 'no_subscription');
  });

  test('over the plan: 429 with the time to wait, and the reason is found', async () => {
    const token = await tokenOf(await application('eager', { plan: 'two' }), 'page_read');
    await until('it is in force', async () => (await call(token)).status !== 403, { within: 5_000 });

    const answer = await until('the plan is used up', async () => { const one = await call(token); return one.status === 429 && one; }, { within: 2_000 });

    assert.ok(Number(answer.headers.get('retry-after')) > 0);
    assert.equal((await found(answer)).outcome, 'refused');
  });

  test('without the scope: 403, and the challenge names it', async () => {
    const other = await application('narrow', { plan: 'walk', scopes: ['echo.read'] });
    const token = await tokenOf(other, 'echo.read');

    const answer = await call(token);

    assert.ok([401, 403].includes(answer.status), `${answer.status}`);
    assert.match(answer.headers.get('www-authenticate'), /page_read|invalid_token/);
  });

  test('with a backend down: an outage, said as one, and the reason is found', async () => {
    await backends.stock.stop();

    const answer = await call(await tokenOf(app, 'page_read'));

    assert.ok([502, 503, 504].includes(answer.status), `${answer.status} ${JSON.stringify(answer.body)}`);
    const record = await found(answer);
    assert.equal(record.outcome, 'failed', JSON.stringify(record));
    assert.ok(record.reason);
  });
});
