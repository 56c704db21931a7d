// The whole walk: a developer makes an application in the portal, is shown its secret once, subscribes it to a plan; npm
// openid-client gets its tokens, and it calls an API that is composed of several backends (one of them by a token for
// fewer rights), through the plan and a policy of the entitlement system. Then each part is broken once: the status says
// exactly which it was, and developer and operator find the reason by the request's id, on their pages; nobody else does.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as client from 'openid-client';
import { launch, visit } from '../lib/chromium.mjs';
import { callPage, makeApplication, signIn, subscribe } from '../lib/portal.mjs';
import { startDev } from '../lib/product.mjs';
import { temporaryFolder, until } from '../lib/process.mjs';
import { startRelay } from '../lib/relay.mjs';

const [audience, bills] = ['https://page.internal', 'https://bills.internal'];
const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const scopes = ['page_read', 'bills_read'];
const problems = 'https://cardea.dev/problems';

const policies = `@id("who-has-a-token")
permit (principal, action in [Action::"call", Action::"issue_token", Action::"grant_scope"], resource);
@id("closed-pages")
@reason("Page 13 stays closed.")
forbid (principal, action == Action::"call", resource) when { context.request has path && context.request.path == "/page/13" };
`;
const policyTests = `tests:
  - name: page 13 is closed
    question:
      subject: { type: client, id: any }
      action: { name: call }
      resource: { type: operation, id: page/page, properties: { api: page } }
      context: { request: { path: /page/13 } }
    expect: deny
    because: [closed-pages]
`;

async function startBackend(body) {
  const seen = [];
  const server = http.createServer((request, response) => {
    seen.push(request.headers);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  return {
    seen,
    url: `http://127.0.0.1:${port}`,
    async stop() {
      if (!server.listening) return;
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
    },
    async start() { server.listen(port, '127.0.0.1'); await once(server, 'listening'); },
  };
}

const document = {
  openapi: '3.1.0',
  info: { title: 'Page', version: '1.0.0' },
  components: { securitySchemes: { oauth: { type: 'oauth2', flows: { clientCredentials: { tokenUrl: '/token', scopes: Object.fromEntries([...scopes, 'page_list'].map((scope) => [scope, scope])) } } } } },
  paths: {
    '/page/{id}': { get: { operationId: 'page', security: [{ oauth: scopes }], parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer' } }], responses: { 200: { description: 'The page' } } } },
    '/pages': { get: { operationId: 'list', security: [{ oauth: ['page_list'] }], responses: { 200: { description: 'All pages' } } } },
  },
};

describe('the whole walk', { timeout: 300_000 }, () => {
  let product;
  let browser;
  let relay;
  let backends;
  let developer;
  let operator;
  let stranger;
  let app;
  let token;

  const manage = async (method, where, body) => {
    const answer = await fetch(`${product.ops}/management/v1${where}`, {
      method, headers: { authorization: `Bearer ${product.admin_token}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    assert.ok(answer.status < 300, `${method} ${where}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : {};
  };

  /** The application as its developer writes it: what it knows is its issuer and its credentials. */
  const configured = ({ clientId, clientSecret }) => client.discovery(
    new URL(product.issuer), clientId, undefined, client.ClientSecretBasic(clientSecret), { execute: [client.allowInsecureRequests] },
  );
  const tokenOf = async (credentials, scope = scopes.join(' ')) => (await client.clientCredentialsGrant(await configured(credentials), { scope })).access_token;

  const call = async (bearer, where = '/page/7') => {
    const answer = await fetch(`${product.gateway}${where}`, { headers: bearer ? { authorization: `Bearer ${bearer}` } : {} });
    return { status: answer.status, headers: answer.headers, body: await answer.json(), id: answer.headers.get('x-request-id') };
  };

  /** Asks until it is so, since what happens elsewhere arrives a moment later. */
  const calling = (status, bearer, where) => until(`it answers ${status}`, async () => {
    const answer = await call(bearer, where);
    if (answer.status !== status) throw new Error(JSON.stringify(answer.body));
    return answer;
  }, { within: 15_000 });

  /** An application of the developer's, made by hand in the portal. */
  async function application(name, plan) {
    const made = await makeApplication(developer, product.portal, 'page', name);
    if (plan) await subscribe(developer, product.portal, 'page', plan, made);
    return made;
  }

  function isProblem(answer, status, slug) {
    assert.deepEqual([answer.status, answer.body.type], [status, `${problems}/${slug}`], JSON.stringify(answer.body));
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    assert.equal(answer.body.request_id, answer.id);
  }

  /** Both find the call by its request's id, with these words; another organisation's developer does not. */
  async function bothFind({ id }, words, operatorWords = []) {
    const [theirs, ours] = [
      await callPage(developer, `${product.portal}/calls/${id}`),
      await callPage(operator, `${product.portal}/console/calls/${id}`),
    ];
    for (const word of words) {
      assert.ok(theirs.includes(word), `the developer does not read \`${word}\`: ${theirs}`);
      assert.ok(ours.includes(word), `the operator does not read \`${word}\`: ${ours}`);
    }
    for (const word of operatorWords) {
      assert.ok(ours.includes(word) && !theirs.includes(word), `\`${word}\` is for the operator alone: ${ours} ${theirs}`);
    }
    assert.equal((await stranger.goto(`${product.portal}/calls/${id}`)).status(), 404);
  }

  before(async () => {
    [product, browser] = await Promise.all([startDev(), launch()]);
    relay = await startRelay(product.entitlement.url);
    backends = {
      order: await startBackend({ id: 7, customer: 'c1' }),
      bill: await startBackend({ sum: 12 }),
      stock: await startBackend({ left: 3 }),
      news: await startBackend(['good']),
    };
    const folder = temporaryFolder('walk');
    const write = (file, text) => writeFileSync(file, text, { mode: 0o600 });
    write(path.join(folder, 'erin.password'), randomBytes(12).toString('base64url'));
    const erin = { username: 'erin', password: randomBytes(12).toString('base64url') };
    write(path.join(folder, 'erin.password'), erin.password);
    await product.apply([
      ...[['page', audience], ['bills', bills]].flatMap(([name, its]) => [
        { kind: 'ResourceServer', name, spec: { audience: its } },
        { kind: 'Scope', name: `${name}_read`, spec: { audience: its, description: `Read ${name}` } },
      ]),
      { kind: 'Scope', name: 'page_list', spec: { audience, description: 'List pages' } },
      { kind: 'Client', name: 'gateway', spec: { displayName: 'The gateway', introspect: ['https://echo.internal', audience], events: true } },
      { kind: 'User', name: erin.username, spec: { password: `file:${path.join(folder, 'erin.password')}` } },
    ]);
    const composer = await product.client('composer', { grants: ['client_credentials', exchange], introspect: [audience, bills], scopes: ['bills_read'] });
    const published = path.join(product.data, 'resources', 'published');
    mkdirSync(published, { mode: 0o700 });
    write(path.join(published, 'composer.secret'), composer.client_secret);
    write(path.join(published, 'caller.secret'), product.entitlement.callers.gateway);
    mkdirSync(path.join(folder, 'policies'));
    write(path.join(folder, 'policies', 'walk.cedar'), policies);
    write(path.join(folder, 'policies', 'tests.yaml'), policyTests);
    await product.admin('policy', 'publish', path.join(folder, 'policies'), '--comment', 'the walk');

    const served = Object.entries(backends).flatMap(([name, backend]) => [
      { kind: 'Upstream', name: `walk-${name}`, spec: { endpoints: [backend.url] } },
      { kind: 'Service', name: `walk-${name}`, spec: { upstream: `walk-${name}`, api: 'page', audience: name === 'bill' ? bills : audience } },
    ]);
    const step = (name, where, more = {}) => ({ name, request: { service: `walk-${name}`, path: where }, ...more });
    const source = (name, url) => ({ kind: 'PolicySource', name, spec: { snapshot: { url, secret: 'file:published/caller.secret', maxAge: '3s' } } });
    // Who decides is the gateways' operator's to say: a file of theirs.
    const sources = [source('rules', relay.url), source('never-heard', 'http://127.0.0.1:9')];
    write(path.join(product.data, 'resources', 'walk.yaml'), sources.map((one) => `${JSON.stringify(one)}\n`).join('---\n'));
    const metadata = await product.discover();
    const composition = (name, where, policy) => ({ kind: 'Composition', name, spec: {
      api: 'page', match: { path: where, methods: ['GET'] }, auth: { issuer: 'main', scopes: ['page_read'] }, audience, deadline: '5s', policy: { source: policy },
      tokens: { sts: { url: metadata.token_endpoint, as: 'composer', secret: 'file:published/composer.secret' } },
      steps: [
        step('order', '/orders/${ request.params.id }'),
        step('bill', '/bills/${ steps.order.body.customer }', { identity: { exchange: { audience: bills, scopes: ['bills_read'] } } }),
        step('stock', '/stock'),
        step('news', '/news', { identity: 'none', required: false }),
      ],
      output: { body: { order: '${ steps.order.body.id }', sum: '${ steps.bill.body.sum }', left: '${ steps.stock.body.left }', news: '${ steps.news.body }' } },
    } });
    const plan = (name, title, more) => ({ kind: 'Plan', name, spec: { title, apis: ['page'], ...more } });
    await manage('POST', '/apply', { resources: [
      ...served,
      { kind: 'Api', name: 'page', spec: { title: 'Page', version: '1.0.0', visibility: 'public', subscription: 'required', openapi: document } },
      { kind: 'Route', name: 'list', spec: { service: 'walk-order', match: { path: '/pages', methods: ['GET'] }, auth: { issuer: 'main', scopes: ['page_list'] }, answer: { body: { pages: [7, 13] } } } },
      composition('page', '/page/{id}', 'rules'), composition('unruled', '/unruled/{id}', 'never-heard'),
      plan('walk', 'Walk', { rate: { requests: 1000, per: '1s' }, quota: { requests: 100_000, per: 'month' } }),
      plan('two', 'Two a month', { quota: { requests: 2, per: 'month' } }),
    ] });

    [developer, operator, stranger] = await Promise.all([0, 1, 2].map(async () => (await visit(browser)).page));
    await signIn(developer, product.portal, product.user);
    await signIn(stranger, product.portal, erin);
    await operator.goto(product.console);
    await operator.waitForURL(`${product.portal}/console`);
    app = await application('walker', 'walk');
    token = await tokenOf(app);
    await calling(200, token);
  });
  after(async () => {
    await browser?.close();
    for (const backend of Object.values(backends ?? {})) await backend.stop();
    await relay?.stop();
    await product?.stop();
  });

  test('the application calls the composed API through plan and policy, and both see the call', async () => {
    const answer = await call(token);

    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.deepEqual(answer.body, { order: 7, sum: 12, left: 3, news: ['good'] });
    assert.match(answer.headers.get('ratelimit'), /"quota";r=\d+/);
    await bothFind(answer, ['200 served', 'plan walk, 1 unit', app.clientId]);
    // Each backend heard what it may know: a token for fewer rights, the caller's JWT, nobody.
    const metadata = await product.discover();
    const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
    const bearer = (backend) => backend.seen.at(-1).authorization?.replace(/^Bearer /, '');
    const forwarded = await jwtVerify(bearer(backends.stock), keys, { issuer: product.issuer, audience, typ: 'at+jwt' });
    const less = await jwtVerify(bearer(backends.bill), keys, { issuer: product.issuer, audience: bills, typ: 'at+jwt' });
    assert.deepEqual([forwarded.payload.client_id, forwarded.payload.act], [app.clientId, undefined]);
    assert.deepEqual([less.payload.sub, less.payload.scope, less.payload.act], [forwarded.payload.sub, 'bills_read', { sub: 'composer' }]);
    assert.equal(bearer(backends.news), undefined);
    assert.ok(!JSON.stringify(Object.values(backends).map((backend) => backend.seen)).includes(token));
  });

  test('client: suspended it is 401, and is let in again when it is resumed', async () => {
    const its = await application('suspended', 'walk');
    const bearer = await tokenOf(its);
    await calling(200, bearer);

    await product.admin('client', 'suspend', its.clientId);

    const answer = await calling(401, bearer);
    isProblem(answer, 401, 'invalid_token');
    assert.match(answer.headers.get('www-authenticate'), /^Bearer .*error="invalid_token"/);
    await assert.rejects(tokenOf(its), { status: 401 });
    await bothFind(answer, ['invalid_token', 'revoked', its.clientId]);
    await product.admin('client', 'resume', its.clientId);
    await calling(200, await tokenOf(its));
  });

  test('client: deleted in the portal it is 401 for good', async () => {
    const its = await application('deleted', 'walk');
    const bearer = await tokenOf(its);
    await calling(200, bearer);

    await developer.goto(`${product.portal}/applications/${its.id}`);
    await developer.click('#delete-form button');
    await developer.waitForURL(`${product.portal}/applications`);

    const answer = await calling(401, bearer);
    isProblem(answer, 401, 'invalid_token');
    await assert.rejects(tokenOf(its), { status: 401 });
    await bothFind(answer, ['invalid_token', its.clientId]);
  });

  test('client: without a token nobody in particular is refused, and the operator alone finds it', async () => {
    const answer = await call();

    isProblem(answer, 401, 'token_missing');
    assert.match(await callPage(operator, `${product.portal}/console/calls/${answer.id}`), /token_missing/);
    for (const page of [developer, stranger]) assert.equal((await page.goto(`${product.portal}/calls/${answer.id}`)).status(), 404);
  });

  test('plan: an application that was never subscribed is 403', async () => {
    const its = await application('never-subscribed');
    await manage('PUT', `/applications/${its.id}`, { name: 'never-subscribed', kind: 'service', scopes });
    const bearer = await until('it may ask for the scopes', () => tokenOf(its));

    const answer = await call(bearer);

    isProblem(answer, 403, 'no_subscription');
    await bothFind(answer, ['no_subscription', 'no subscription to a plan with this API', its.clientId]);
  });

  test('plan: with its quota used up it is 429, with the time to wait', async () => {
    const its = await application('eager', 'two');
    const bearer = await tokenOf(its);
    await calling(200, bearer);
    assert.equal((await call(bearer)).status, 200);

    const answer = await call(bearer);

    assert.deepEqual(
      [answer.status, answer.body.type, answer.body.code], [429, 'https://iana.org/assignments/http-problem-types#quota-exceeded', 'quota_exceeded'],
    );
    assert.ok(Number(answer.headers.get('retry-after')) > 0);
    assert.match(answer.headers.get('ratelimit'), /"quota";r=0/);
    await bothFind(answer, ['quota_exceeded', 'quota of this window is used up', its.clientId]);
  });

  test('scope: a token without it is 403, and the challenge names it', async () => {
    const answer = await call(await tokenOf(app, 'page_list'));

    isProblem(answer, 403, 'insufficient_scope');
    assert.match(answer.headers.get('www-authenticate'), /error="insufficient_scope".*scope="page_read"/);
    await bothFind(answer, ['insufficient_scope', 'has not the scope', app.clientId]);
  });

  test('scope: a token without the one that a step exchanges it for is 502 for that step', async () => {
    const answer = await call(await tokenOf(app, 'page_read'));

    isProblem(answer, 502, 'part_identity');
    assert.match(answer.body.detail, /^part `bill`: /);
    await bothFind(answer, ['part_identity', 'bill failed there was no token for its backend', app.clientId]);
  });

  test('policy: forbidden by a rule it is 403 in the words of its author', async () => {
    const before = backends.order.seen.length;

    const answer = await call(token, '/page/13');

    isProblem(answer, 403, 'policy_denied');
    assert.equal(answer.body.detail, 'Page 13 stays closed.');
    assert.equal(backends.order.seen.length, before, 'no backend was asked');
    await bothFind(answer, ['policy_denied', 'Page 13 stays closed.', app.clientId], ['closed-pages']);
    const logged = await until('the decision log has it', async () => {
      const { items } = await product.admin('policy', 'decisions', '--request', answer.id);
      return items.length && items;
    });
    assert.deepEqual(logged.map((one) => [one.decision, one.reasons]), [['deny', ['closed-pages']]]);
  });

  test('policy: without rules that are fresh enough, or that were ever heard, it is 503 and nothing passes', async () => {
    relay.cut();

    const answer = await calling(503, token);
    isProblem(answer, 503, 'policy_unavailable');
    assert.equal(answer.headers.get('retry-after'), '1');
    await bothFind(answer, ['policy_unavailable', 'could not be decided', app.clientId]);
    const before = backends.order.seen.length;
    const never = await call(token, '/unruled/7');
    isProblem(never, 503, 'policy_unavailable');
    assert.equal(backends.order.seen.length, before);
    await bothFind(never, ['policy_unavailable', app.clientId]);
    relay.mend();
    await calling(200, token);
  });

  test('backend: without one that is needed it is 502, and both are told which', async () => {
    await backends.stock.stop();

    const answer = await call(token);

    isProblem(answer, 502, 'part_unreachable');
    assert.match(answer.body.detail, /^part `stock`: /);
    assert.deepEqual(answer.body.parts.filter((part) => part.error && part.error !== 'cancelled').map((part) => [part.name, part.error]), [['stock', 'unreachable']]);
    await bothFind(answer, ['part_unreachable', 'stock failed its backend could not be reached', app.clientId]);
    await backends.stock.start();
    await calling(200, token);
  });

  test('backend: without one that is not needed the rest is answered, and both are told what is missing', async () => {
    await backends.news.stop();

    const answer = await call(token);

    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    const { parts, ...rest } = answer.body;
    assert.deepEqual(rest, { order: 7, sum: 12, left: 3, news: null });
    assert.deepEqual(parts.filter((part) => part.outcome !== 'done').map((part) => [part.name, part.outcome, part.error]), [['news', 'failed', 'unreachable']]);
    await bothFind(answer, ['200 served', 'news failed its backend could not be reached', app.clientId]);
    await backends.news.start();
  });
});
