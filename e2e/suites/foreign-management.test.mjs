// Management and gateway with an authority that is not ours, npm `oidc-provider`: people log in there and out, applications
// are registered there (RFC 7591), changed and deleted there (RFC 7592), whose registration access tokens change with each
// update; management's interface takes tokens of there, and the gateway lets calls pass by tokens that it introspects there.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Browser, authorize } from '../lib/browser.mjs';
import { launch, says, visit } from '../lib/chromium.mjs';
import { startForeign } from '../lib/foreign.mjs';
import { callPage, makeApplication, signIn, subscribe } from '../lib/portal.mjs';
import { freePorts, temporaryFolder, until } from '../lib/process.mjs';
import { startCardea } from '../lib/product.mjs';
import { startUpstream } from '../lib/upstream.mjs';

const audience = 'https://orders.internal';
const callback = 'http://127.0.0.1:9/callback';

describe('management and gateway with another authorization server', { timeout: 180_000 }, () => {
  const secret = () => randomBytes(32).toString('base64url');
  const [initial, admin] = [secret(), secret()];
  const tool = { client_id: 'tool', client_secret: secret() };
  const machine = { client_id: 'machine', client_secret: secret() };
  let authority;
  let server;
  let upstream;
  let chromium;
  let developer;
  let portal;
  let gateway;
  let ops;
  let brief;

  before(async () => {
    const port = await freePorts(6);
    portal = `http://localhost:${port}`;
    ops = `http://127.0.0.1:${port + 1}`;
    gateway = `http://localhost:${port + 2}`;
    brief = `${portal}/`;
    const portalClient = { client_id: 'portal', client_secret: secret() };
    const edge = { client_id: 'edge', client_secret: secret() };
    const none = { redirect_uris: [], response_types: [] };
    [authority, upstream, chromium] = await Promise.all([
      startForeign({
        registration: { initialAccessToken: initial },
        // The same interface by two names: tokens for the second live for moments.
        resources: {
          [portal]: { scope: 'management other' }, [brief]: { scope: 'management', ttl: 8 }, [audience]: { scope: 'echo.read echo.write' },
        },
        clients: [
          { ...portalClient, redirect_uris: [`${portal}/login/callback`], post_logout_redirect_uris: [`${portal}/logged-out`], grant_types: ['authorization_code'] },
          { ...edge, ...none, grant_types: [] },
          { ...tool, redirect_uris: [callback], grant_types: ['authorization_code'] },
          { ...machine, ...none, grant_types: ['client_credentials'] },
        ],
      }),
      startUpstream(), launch(),
    ]);
    const folder = temporaryFolder('foreign-management');
    const keep = (name, text) => writeFileSync(path.join(folder, name), text, { mode: 0o600 });
    mkdirSync(path.join(folder, 'resources'));
    keep('admin.token', admin);
    keep('management.key', secret());
    keep('gateway.token', secret());
    keep('portal.secret', portalClient.client_secret);
    keep('initial.token', initial);
    keep('resources/edge.secret', edge.client_secret);
    keep('resources/main.yaml', `kind: Issuer
name: main
spec: { issuer: "${authority.issuer}", introspection: { as: edge, secret: "file:edge.secret", form: plain } }
`);
    keep('cardea.yaml', `data: ./data
roles: [management, gateway]
gateway:
  listen: [{ address: "127.0.0.1:${port + 2}" }]
  publicUrl: ${gateway}
  resources: ./resources
  management: { url: "${portal}", token: "file:gateway.token" }
management:
  url: ${portal}
  listen: 127.0.0.1:${port}
  masterKey: file:management.key
  issuer: ${authority.issuer}
  clientId: portal
  clientSecret: file:portal.secret
  registration: { initialAccessToken: "file:initial.token" }
  gateways: [{ name: edge-1, token: "file:gateway.token" }]
  gatewayUrl: ${gateway}
ops: { listen: "127.0.0.1:${port + 1}", adminToken: "file:admin.token" }
`);
    server = startCardea('management and gateway', ['serve', '--json', '--config', path.join(folder, 'cardea.yaml')]);
    await until('they are ready', async () => (await fetch(`${ops}/readyz`)).ok, { server, within: 30_000 });
    assert.equal((await manage('POST', '/organisations', { name: 'Acme', id: 'acme' })).status, 201);
    const applied = await manage('POST', '/apply', { resources: [
      { kind: 'Upstream', name: 'orders', spec: { endpoints: [`http://127.0.0.1:${upstream.port}`] } },
      { kind: 'Service', name: 'orders', spec: { upstream: 'orders', audience, api: 'orders' } },
      { kind: 'Route', name: 'read', spec: { service: 'orders', match: { path: '/orders/{id}', methods: ['GET'] }, auth: { issuer: 'main', scopes: ['echo.read'] } } },
      { kind: 'Route', name: 'write', spec: { service: 'orders', match: { path: '/orders/{id}', methods: ['PUT'] }, auth: { issuer: 'main', scopes: ['echo.write'] } } },
      { kind: 'Api', name: 'orders', spec: { title: 'Orders', version: '1.0.0', visibility: 'public', subscription: 'required' } },
      { kind: 'Plan', name: 'basic', spec: { title: 'Basic', apis: ['orders'], quota: { requests: 100, per: 'day' } } },
    ] });
    assert.equal(applied.status, 200, JSON.stringify(applied.body));
    developer = (await visit(chromium)).page;
  });
  after(async () => {
    await chromium?.close();
    await server?.stop();
    await upstream?.stop();
    await authority?.stop();
  });

  async function ask(url, token, method = 'GET', body) {
    const answer = await fetch(url, {
      method, headers: { ...(token && { authorization: `Bearer ${token}` }), 'content-type': 'application/json' }, body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: text.startsWith('{') ? JSON.parse(text) : text };
  }
  const manage = (method, where, body) => ask(`${ops}/management/v1${where}`, admin, method, body);
  /** The interface as people and programs have it. */
  const asWho = (token, where = '/me') => ask(`${portal}/management/v1${where}`, token);

  const tokenBy = async ({ clientId, clientSecret, client_id: id = clientId, client_secret: its = clientSecret }, form) => {
    const answer = await fetch(`${authority.issuer}/token`, {
      method: 'POST', headers: { authorization: `Basic ${btoa(`${encodeURIComponent(id)}:${encodeURIComponent(its)}`)}` }, body: new URLSearchParams(form),
    });
    return { status: answer.status, ...(await answer.json()) };
  };
  const machineToken = (credentials) => tokenBy(credentials, { grant_type: 'client_credentials' });

  /** A token of the person, for this resource, by a login. */
  async function personToken(resource, scope) {
    const verifier = randomBytes(32).toString('base64url');
    const url = new URL(`${authority.issuer}/auth`);
    url.search = new URLSearchParams({
      client_id: tool.client_id, redirect_uri: callback, response_type: 'code', scope: `openid ${scope}`, resource,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
    });
    const back = await authorize(new Browser(), url, callback, authority.user);
    const answer = await tokenBy(tool, {
      grant_type: 'authorization_code', code: back.url.searchParams.get('code'), redirect_uri: callback, code_verifier: verifier, resource,
    });
    assert.ok(answer.access_token, JSON.stringify(answer));
    return answer.access_token;
  }

  test('an application is registered, used, changed, and deleted there', async () => {
    const made = await manage('POST', '/organisations/acme/applications', { name: 'Orders', kind: 'service' });
    assert.equal(made.status, 201);
    assert.equal(made.body.state, 'registered', JSON.stringify(made.body));
    const one = `/applications/${made.body.id}`;

    const credentials = await manage('POST', `${one}/credentials`);
    assert.equal(credentials.status, 200, JSON.stringify(credentials.body));
    assert.equal((await machineToken(credentials.body)).status, 200);
    assert.equal((await manage('POST', `${one}/credentials`)).status, 409, 'shown once');

    for (const name of ['Orders 2', 'Orders 3']) {
      const changed = await manage('PUT', one, { name, kind: 'service' });
      assert.ok(changed.body.settled, JSON.stringify(changed.body));
      assert.equal((await authority.provider.Client.find(made.body.clientId)).clientName, name);
    }
    assert.equal((await machineToken(credentials.body)).status, 200, 'the secret is the same');

    assert.equal((await manage('DELETE', one)).body.state, 'deleted');
    assert.equal((await machineToken(credentials.body)).status, 401);
  });

  test('what it refuses is told in its words', async () => {
    const made = await manage('POST', '/organisations/acme/applications', { name: 'Orders', kind: 'service', scopes: ['not.known.there'] });

    assert.equal(made.body.state, 'failed', JSON.stringify(made.body));
    assert.match(made.body.error, /invalid_client_metadata/);
  });

  test('what cannot be exchanged there is said, and both sides can be compared as far as it tells', async () => {
    const made = await manage('POST', '/organisations/acme/applications', { name: 'More', kind: 'service' });
    const rotated = await manage('POST', `/applications/${made.body.id}/secret`);
    assert.match(rotated.body.error, /cannot exchange secrets/);

    const report = await manage('POST', '/reconcile');
    assert.equal(report.body.clients, null);
    assert.deepEqual(report.body.findings.filter((finding) => finding.kind === 'pointer_without_client'), []);
  });

  test('a person logs in there, makes an application by the portal, and calls the API with a token of there', async () => {
    await signIn(developer, portal, authority.user, '/applications');
    const people = await manage('GET', '/people');
    assert.equal(people.body.items.length, 1, JSON.stringify(people.body));
    const app = await makeApplication(developer, portal, 'orders', 'Foreign Books');
    assert.equal((await authority.provider.Client.find(app.clientId)).clientName, 'Foreign Books');
    await subscribe(developer, portal, 'orders', 'basic', app);

    const asked = (scope) => tokenBy(app, { grant_type: 'client_credentials', scope, resource: audience });
    const token = await until('it may ask for the scope', async () => (await asked('echo.read')).access_token);
    const called = await until('the subscription is in force', async () => {
      const answer = await ask(`${gateway}/orders/7`, token);
      return answer.status === 200 && answer;
    });

    assert.match(called.headers.get('ratelimit'), /"quota";r=\d+/);
    const seen = upstream.seen.at(-1);
    assert.ok(!JSON.stringify(seen).includes(token), 'the opaque token stays at the gateway');
    assert.match(await callPage(developer, `${portal}/calls/${called.headers.get('x-request-id')}`), /200 served.*Basic|200 served.*basic/);
    // Without the scope, and after it was revoked there.
    const narrow = await ask(`${gateway}/orders/7`, token, 'PUT', {});
    assert.deepEqual([narrow.status, narrow.body.type.split('/').at(-1)], [403, 'insufficient_scope']);
    const before = upstream.seen.length;
    await (await authority.provider.ClientCredentials.find(token)).destroy();
    const revoked = await ask(`${gateway}/orders/7`, token);
    assert.deepEqual([revoked.status, revoked.body.type.split('/').at(-1)], [401, 'invalid_token']);
    assert.equal(upstream.seen.length, before);
  });

  test('management takes a token of there: with its scope, for itself, as long as it lives', async () => {
    const good = await personToken(portal, 'management');
    const me = await asWho(good);
    assert.equal(me.status, 200, JSON.stringify(me.body));
    const own = me.body.organisations?.[0]?.id ?? me.body.memberships[0].organisation;
    const theirs = await asWho(good, `/organisations/${own}/applications`);
    assert.deepEqual(theirs.body.items.map((one) => one.name), ['Foreign Books']);
    assert.equal((await asWho(good, '/organisations/acme/applications')).status, 404, 'not theirs');
    assert.equal((await asWho(good, '/people')).status, 403);

    const narrow = await asWho(await personToken(portal, 'other'));
    assert.equal(narrow.status, 403, JSON.stringify(narrow.body));
    assert.equal((await asWho(await personToken(audience, 'echo.read'))).status, 401, 'meant for another');
    const revoked = await personToken(portal, 'management');
    await (await authority.provider.AccessToken.find(revoked)).destroy();
    assert.equal((await asWho(revoked)).status, 401);
    for (const junk of [undefined, 'made-up']) assert.equal((await asWho(junk)).status, 401);
    const program = await tokenBy(machine, { grant_type: 'client_credentials', resource: portal, scope: 'management' });
    assert.equal((await asWho(program.access_token)).status, 403, 'a program is no member of anything');
  });

  test('management takes no token beyond its end, also one that it knows', async () => {
    const token = await personToken(brief, 'management');
    const first = await asWho(token);
    assert.equal(first.status, 200, JSON.stringify(first.body));

    await until('it has ended', async () => (await asWho(token)).status === 401, { within: 30_000, every: 200 });
  });

  test('a person logs out of both', async () => {
    await developer.goto(`${portal}/applications`);
    await developer.locator('.menu > summary').click();
    await developer.click('#logout button');
    // The authority asks, as it may (RP-Initiated Logout 1.0 §2).
    const yes = developer.locator('button[name=logout][value=yes]');
    await Promise.race([developer.waitForURL(`${portal}/logged-out**`), yes.waitFor()]);
    if (await yes.count()) await yes.click();
    await developer.waitForURL(`${portal}/logged-out**`);
    await says(developer, /signed out/i);

    // The session is over here, and there: to come in again one has to log in.
    await developer.goto(`${portal}/login?return_to=/applications`);
    await developer.waitForURL(`${authority.issuer}/**`);
    await developer.locator('input[name=password]').waitFor();
  });
});
