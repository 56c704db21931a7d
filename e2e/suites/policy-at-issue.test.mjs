// The token service asks the entitlement system before it issues anything: who gets a token, with which scopes, after
// which login. The regulated example: a record is readable for a doctor, from an enrolled device, after a login of the
// last moments. A change of policy is felt by the next token.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as client from 'openid-client';
import { Browser, authorize } from '../lib/browser.mjs';
import { freePorts, temporaryFolder, until } from '../lib/process.mjs';
import { Product, startCardea } from '../lib/product.mjs';

const redirectUri = 'http://127.0.0.1:9/callback';
const insecure = { execute: [client.allowInsecureRequests] };
/** Seconds: as the 15 minutes of a hospital, for tests that wait. */
const recent = 2;

const policies = `@id("staff-use-apps")
permit (principal in Role::"staff", action == Action::"issue_token", resource);
@id("programs")
permit (principal is Client, action == Action::"issue_token", resource);
@id("login-scopes")
permit (principal, action == Action::"grant_scope", resource) when { [Scope::"openid", Scope::"offline_access", Scope::"plans.read"].contains(resource) };
@id("doctors-read-records")
permit (principal in Role::"doctor", action == Action::"grant_scope", resource == Scope::"records.read");
@id("enrolled-device")
@reason("This device is not enrolled.")
forbid (principal, action == Action::"grant_scope", resource == Scope::"records.read")
unless { context.device has enrolled && context.device.enrolled };
@id("recent-login")
@reason("Log in again to read records.")
@advice_max_age("${recent}")
forbid (principal, action == Action::"grant_scope", resource == Scope::"records.read")
unless { context.authentication has auth_time && context.time.now - context.authentication.auth_time <= ${recent} };
`;
const tests = `entities:
  - { type: User, id: ann, parents: [{ type: Role, id: staff }] }
tests:
  - name: staff gets tokens
    now: 1767225901
    question:
      subject: { type: user, id: ann }
      action: { name: issue_token }
      resource: { type: client, id: another-app }
    expect: allow
`;

describe('policy at issue', { timeout: 120_000 }, () => {
  let product;
  let folder;
  let ward;
  const people = {};

  const publish = async (text) => {
    const draft = path.join(folder, `policies-${randomBytes(4).toString('hex')}`);
    mkdirSync(draft);
    writeFileSync(path.join(draft, 'policy.cedar'), text);
    writeFileSync(path.join(draft, 'tests.yaml'), tests);
    await product.admin('policy', 'publish', draft, '--comment', 'e2e');
  };

  async function ask(person, { browser = new Browser(), scope = 'openid records.read', ...more } = {}) {
    const verifier = client.randomPKCECodeVerifier();
    const url = client.buildAuthorizationUrl(ward, {
      redirect_uri: redirectUri, scope, code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
    });
    const back = await authorize(browser, url, redirectUri, people[person]);
    const answer = { ...back, browser, error: back.url.searchParams.get('error'), said: back.url.searchParams.get('error_description') };
    if (!answer.error) answer.tokens = await client.authorizationCodeGrant(ward, back.url, { pkceCodeVerifier: verifier, idTokenExpected: true });
    return answer;
  }

  const robot = async (its) => fetch(`${product.issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${its.client_id}:${encodeURIComponent(its.client_secret)}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'plans.read' }),
  });

  before(async () => {
    folder = temporaryFolder('policy');
    const write = (file, text) => writeFileSync(path.join(folder, file), text, { mode: 0o600 });
    const admin = `cad_${randomBytes(24).toString('base64url')}`;
    write('identity.key', randomBytes(48).toString('base64url'));
    write('admin.token', admin);
    write('caller.secret', randomBytes(48).toString('base64url'));
    const [port, ops, pdp] = [await freePorts(), await freePorts(), await freePorts()];
    const issuer = `http://localhost:${port}`;
    write('cardea.yaml', `data: ./data
roles: [identity, entitlement]
identity:
  issuer: ${issuer}
  listen: 127.0.0.1:${port}
  masterKey: file:./identity.key
  policy: { url: "http://localhost:${pdp}", secret: "file:./caller.secret" }
entitlement:
  url: http://localhost:${pdp}
  listen: 127.0.0.1:${pdp}
  callers: [{ name: identity, secret: "file:./caller.secret", rights: [evaluate] }]
ops:
  listen: 127.0.0.1:${ops}
  adminToken: file:./admin.token
`);
    const server = startCardea('identity and entitlement', ['serve', '--config', path.join(folder, 'cardea.yaml')]);
    product = new Product([server], folder, { issuer, ops: `http://localhost:${ops}`, admin_token: admin });
    await until('they are ready', async () => (await fetch(`http://localhost:${ops}/readyz`)).ok, { server });

    const user = (name, roles, device) => {
      people[name] = { username: name, password: randomBytes(12).toString('base64url') };
      write(`${name}.password`, people[name].password);
      const attributes = { roles, device: { id: device, enrolled: device === 'tablet-1' } };
      return { kind: 'User', name, spec: { password: `file:${path.join(folder, `${name}.password`)}`, attributes } };
    };
    await product.apply([
      { kind: 'ResourceServer', name: 'records', spec: { audience: 'https://records.internal' } },
      { kind: 'Scope', name: 'records.read', spec: { audience: 'https://records.internal' } },
      { kind: 'Scope', name: 'plans.read', spec: { audience: 'https://records.internal' } },
      user('doctor', ['staff', 'doctor'], 'tablet-1'), user('private', ['staff', 'doctor'], 'phone-9'),
      user('clerk', ['staff'], 'tablet-1'), user('visitor', [], 'tablet-1'),
    ]);
    const its = await product.client('ward-app', {
      redirectUris: [redirectUri], grants: ['authorization_code', 'refresh_token'], scopes: ['openid', 'offline_access', 'records.read', 'plans.read'], consent: 'implicit',
    });
    ward = await client.discovery(new URL(issuer), its.client_id, undefined, client.ClientSecretBasic(its.client_secret), insecure);
  });
  after(() => product?.stop());

  test('until policies are in force nobody gets anything', async () => {
    const answer = await ask('doctor');
    assert.equal(answer.error, 'access_denied');
    const its = await product.client('ward-robot', { grants: ['client_credentials'], scopes: ['plans.read'] });
    assert.equal((await robot(its)).status, 403);

    await publish(policies);

    assert.equal((await robot(its)).status, 200);
    assert.equal((await ask('doctor')).tokens.scope, 'openid records.read');
  });

  test('each condition that is broken refuses for its own reason', async () => {
    assert.equal((await ask('visitor')).error, 'access_denied');
    assert.equal((await ask('clerk')).tokens.scope, 'openid', 'no doctor');
    const alone = await ask('private', { scope: 'records.read' });
    assert.deepEqual([alone.error, alone.said], ['access_denied', 'This device is not enrolled.']);
  });

  test('a login that is too old is asked for again, once', async () => {
    const first = await ask('doctor');
    await new Promise((done) => { setTimeout(done, (recent + 1.1) * 1000); });

    const silent = await ask('doctor', { browser: first.browser, prompt: 'none' });
    assert.equal(silent.tokens.scope, 'openid', 'without a page it is left out');
    const again = await ask('doctor', { browser: first.browser });
    assert.ok(again.steps.includes('login'), `${again.steps}`);
    assert.equal(again.tokens.scope, 'openid records.read');
    await new Promise((done) => { setTimeout(done, (recent + 1.1) * 1000); });
    assert.equal((await client.refreshTokenGrant(ward, again.tokens.refresh_token)).scope, 'openid');
  });

  test('a change of policy is felt by the next token', async () => {
    const first = await ask('clerk', { scope: 'openid plans.read' });
    assert.equal(first.tokens.scope, 'openid plans.read');

    const closed = '@id("closed") @reason("The ward is closed.") forbid (principal, action == Action::"issue_token", resource == Client::"ward-app");';
    await publish(`${policies}${closed}\n`);

    await assert.rejects(client.refreshTokenGrant(ward, first.tokens.refresh_token), { error: 'invalid_grant' });
    const refused = await ask('clerk');
    assert.deepEqual([refused.error, refused.said], ['access_denied', 'The ward is closed.']);
    await publish(policies);
    // The denial cost nothing: the refresh token is as good as it was.
    assert.equal((await client.refreshTokenGrant(ward, first.tokens.refresh_token)).scope, 'openid plans.read');
    const decisions = await product.admin('policy', 'decisions', '--decision', 'deny', '--since', '1h');
    assert.ok(JSON.stringify(decisions).includes('issue_token'));
  });
});
