// Management with an authority that is not ours: people log in there, applications are registered there (RFC 7591),
// changed and deleted there (RFC 7592), whose registration access tokens change with each update.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Browser } from '../lib/browser.mjs';
import { startForeign } from '../lib/foreign.mjs';
import { freePorts, temporaryFolder, until } from '../lib/process.mjs';
import { startCardea } from '../lib/product.mjs';

describe('management and another authorization server', { timeout: 60_000 }, () => {
  const secret = () => randomBytes(32).toString('base64url');
  const initial = secret();
  const admin = secret();
  let authority;
  let management;
  let portal;
  let ops;

  before(async () => {
    const port = await freePorts(6);
    portal = `http://localhost:${port}`;
    ops = `http://127.0.0.1:${port + 1}`;
    const portalClient = { client_id: 'portal', client_secret: secret() };
    authority = await startForeign({
      registration: { initialAccessToken: initial },
      clients: [{
        ...portalClient, redirect_uris: [`${portal}/login/callback`], post_logout_redirect_uris: [`${portal}/logged-out`],
        grant_types: ['authorization_code'],
      }],
    });
    const folder = temporaryFolder('foreign-management');
    const keep = (name, text) => writeFileSync(path.join(folder, name), text, { mode: 0o600 });
    keep('admin.token', admin);
    keep('management.key', secret());
    keep('portal.secret', portalClient.client_secret);
    keep('initial.token', initial);
    keep('cardea.yaml', `data: ./data
management:
  url: ${portal}
  listen: 127.0.0.1:${port}
  masterKey: file:management.key
  issuer: ${authority.issuer}
  clientId: portal
  clientSecret: file:portal.secret
  registration: { initialAccessToken: "file:initial.token" }
  gatewayUrl: http://localhost:9
ops: { listen: "127.0.0.1:${port + 1}", adminToken: "file:admin.token" }
`);
    management = startCardea('management', ['serve', '--json', '--config', path.join(folder, 'cardea.yaml')]);
    await until('management is ready', () => management.lines.some((line) => line.includes('"ready":true')), { server: management, within: 30_000 });
    assert.equal((await manage('POST', '/organisations', { name: 'Acme', id: 'acme' })).status, 201);
  });
  after(async () => { await management?.stop(); await authority?.stop(); });

  async function manage(method, where, body) {
    const answer = await fetch(`${ops}/management/v1${where}`, {
      method, headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json() };
  }

  const machineToken = ({ clientId, clientSecret }) => fetch(`${authority.issuer}/token`, {
    method: 'POST', headers: { authorization: `Basic ${btoa(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });

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

  test('a person logs in to the portal', async () => {
    const browser = new Browser();
    let page = await browser.open(`${portal}/login`);
    page = await browser.submit(page.forms[0], authority.user);
    if (page.url.origin !== portal) page = await browser.submit(page.forms[0], {}, { button: page.forms[0].buttons.find((button) => button.value === 'allow') });

    assert.equal(page.url.origin, portal, page.text);
    assert.equal(page.status, 200, page.text);
    const people = await manage('GET', '/people');
    assert.equal(people.body.items.length, 1, JSON.stringify(people.body));
  });
});
