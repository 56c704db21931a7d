// npm `openid-client` as relying party: what it checks by itself (iss, state, nonce, at_hash, signatures,
// content types) is checked here with every call.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as client from 'openid-client';
import { startAuthority, isForeign } from '../lib/authority.mjs';
import { Browser, authorize, logOut, readable } from '../lib/browser.mjs';
import { until } from '../lib/process.mjs';

const redirectUri = 'http://127.0.0.1:9/callback';
const logoutUri = 'http://127.0.0.1:9/goodbye';
const scope = `openid profile offline_access${isForeign ? '' : ' echo.read'}`;
const oursOnly = { skip: isForeign && 'the foreign authority has no gateway' };

describe('openid-client', { timeout: 120_000 }, () => {
  let authority;
  let config;

  const discover = (its, clientAuth) => client.discovery(new URL(authority.issuer), its.client_id, undefined, clientAuth, { execute: [client.allowInsecureRequests] });

  /** One login: tokens, and what is needed to try things with them. */
  async function logIn({ browser = new Browser(), parameters = {}, person = {}, by = config } = {}) {
    const verifier = client.randomPKCECodeVerifier();
    const state = client.randomState();
    const nonce = client.randomNonce();
    const url = client.buildAuthorizationUrl(by, {
      redirect_uri: redirectUri, scope, state, nonce, prompt: 'consent',
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...parameters,
    });
    const back = await authorize(browser, url, redirectUri, { ...authority.user, ...person });
    const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
    return { ...back, checks, browser, redeem: () => client.authorizationCodeGrant(by, back.url, checks) };
  }

  before(async () => {
    authority = await startAuthority({ redirectUri, logoutUri });
    config = await discover(authority.web, client.ClientSecretBasic(authority.web.client_secret));
  });
  after(() => authority?.stop());

  test('discovery says what a client needs', () => {
    const metadata = config.serverMetadata();
    assert.equal(metadata.issuer, authority.issuer);
    assert.equal(metadata.authorization_response_iss_parameter_supported, true);
    assert.ok(metadata.code_challenge_methods_supported.includes('S256'));
    for (const endpoint of ['authorization', 'token', 'introspection', 'revocation', 'userinfo', 'end_session']) {
      assert.ok(metadata[`${endpoint}_endpoint`].startsWith(authority.issuer), endpoint);
    }
  });

  test('OpenID discovery and RFC 8414 say the same', oursOnly, async () => {
    const [one, two] = await Promise.all(['openid-configuration', 'oauth-authorization-server'].map(async (name) => {
      const answer = await fetch(`${authority.issuer}/.well-known/${name}`);
      assert.equal(answer.status, 200);
      return answer.json();
    }));
    assert.deepEqual(one, two);
    assert.deepEqual(one.code_challenge_methods_supported, ['S256']);
  });

  test('a person logs in, and the client gets tokens for them', async () => {
    const login = await logIn({ parameters: { max_age: '600' } });
    assert.deepEqual(login.steps, ['login', 'consent']);
    assert.equal(login.url.searchParams.get('iss'), authority.issuer);

    const tokens = await client.authorizationCodeGrant(config, login.url, { ...login.checks, maxAge: 600 });

    const claims = tokens.claims();
    assert.ok(claims.sub);
    const user = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
    assert.equal(user.preferred_username, authority.user.username);
    assert.ok(tokens.refresh_token);
    assert.ok(tokens.expires_in > 0);
    if (!isForeign) {
      assert.match(tokens.access_token, /^cat_/);
      assert.equal(tokens.access_token.split('.').length, 1, 'the token is opaque');
    }
  });

  test('the token opens the sample API, which sees a JWT for itself', oursOnly, async () => {
    const login = await logIn();
    const tokens = await login.redeem();

    const answer = await authority.product.call(tokens.access_token);

    const seen = await answer.text();
    assert.equal(answer.status, 200, seen);
    assert.ok(!seen.includes(tokens.access_token), 'the opaque token stays in front');
    assert.match(seen, /at\+jwt/);
    assert.ok(seen.includes(tokens.claims().sub));
    assert.ok(!/eyJ[\w-]{10,}\./.test(seen), 'the JWT itself is not shown');
  });

  test('a second login of the same person needs neither password nor consent', async () => {
    const first = await logIn();
    await first.redeem();

    const second = await logIn({ browser: first.browser, parameters: { prompt: '', scope: 'openid profile' } });

    assert.deepEqual(second.steps, []);
    assert.ok((await second.redeem()).id_token);
  });

  test('prompt=none without a session says login_required', async () => {
    const login = await logIn({ parameters: { prompt: 'none', scope: 'openid' } });

    await assert.rejects(login.redeem(), { error: 'login_required' });
    assert.equal(login.url.searchParams.get('iss'), authority.issuer);
  });

  test('prompt=login asks for the password again', async () => {
    const first = await logIn();

    const second = await logIn({ browser: first.browser, parameters: { prompt: 'login', scope: 'openid profile' } });

    assert.ok(second.steps.includes('login'));
    await second.redeem();
  });

  test('a person who says no gives access_denied', async () => {
    const login = await logIn({ person: { decision: 'deny' } });

    await assert.rejects(login.redeem(), { error: 'access_denied' });
    assert.equal(login.url.searchParams.get('state'), login.checks.expectedState);
  });

  test('a wrong password is refused in the same words as an unknown name', oursOnly, async () => {
    const said = [];
    for (const [username, password] of [[authority.user.username, 'wrong'], ['nobody-here', 'wrong']]) {
      const browser = new Browser();
      const page = await browser.open(client.buildAuthorizationUrl(config, { redirect_uri: redirectUri, scope, code_challenge: 'A'.repeat(43), code_challenge_method: 'S256' }));
      const form = page.forms.find((one) => one.fields.some((field) => field.name === 'password'));
      const answer = await browser.submit(form, { username, password }, { stopAt: redirectUri });
      assert.ok(!answer.landed, 'no way on');
      assert.ok(answer.forms.some((one) => one.fields.some((field) => field.name === 'password')), 'the form is there again');
      said.push({ status: answer.status, text: readable(answer.text).replaceAll(username, 'NAME') });
    }
    assert.deepEqual(said[0], said[1]);
  });

  test('after a wrong password the right one goes on', async () => {
    const verifier = client.randomPKCECodeVerifier();
    const state = client.randomState();
    const browser = new Browser();
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri, scope: 'openid', state, code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    });
    const page = await browser.open(url);
    const wrong = await browser.submit(page.forms[0], { username: authority.user.username, password: 'wrong' });
    const form = wrong.forms.find((one) => one.fields.some((field) => field.name === 'password'));
    let next = await browser.submit(form, authority.user, { stopAt: redirectUri });
    if (!next.landed) {
      const consent = next.forms.find((one) => one.buttons.some((button) => button.value === 'allow'));
      next = await browser.submit(consent, {}, { button: consent.buttons.find((button) => button.value === 'allow'), stopAt: redirectUri });
    }

    const tokens = await client.authorizationCodeGrant(config, next.landed, { pkceCodeVerifier: verifier, expectedState: state });

    assert.ok(tokens.id_token);
  });

  test('a code works once, and its second use ends what the first began', async () => {
    const login = await logIn();
    const tokens = await login.redeem();

    await assert.rejects(login.redeem(), { error: 'invalid_grant' });

    await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' });
    const answer = await introspect(tokens.access_token);
    assert.equal(answer.active, false);
  });

  test('a code with a wrong verifier is refused', async () => {
    const login = await logIn();

    const wrong = client.authorizationCodeGrant(config, login.url, { ...login.checks, pkceCodeVerifier: client.randomPKCECodeVerifier() });

    await assert.rejects(wrong, { error: 'invalid_grant' });
  });

  for (const [what, parameters] of [['without PKCE', { code_challenge: '', code_challenge_method: '' }], ['with PKCE plain', { code_challenge_method: 'plain' }]]) {
    test(`an authorization request ${what} is refused`, oursOnly, async () => {
      const login = await logIn({ parameters });

      await assert.rejects(login.redeem(), { error: 'invalid_request' });
    });
  }

  test('a redirect address that is not registered is not followed', async () => {
    const url = client.buildAuthorizationUrl(config, { redirect_uri: 'http://127.0.0.1:9/callback/x', scope: 'openid', code_challenge: 'A'.repeat(43), code_challenge_method: 'S256' });

    const page = await new Browser().open(url, { stopAt: 'http://127.0.0.1:9/' });

    assert.ok(!page.landed);
    assert.equal(page.status, 400);
  });

  test('a refresh token is exchanged for the next one', async () => {
    const tokens = await (await logIn()).redeem();

    const second = await client.refreshTokenGrant(config, tokens.refresh_token);
    const third = await client.refreshTokenGrant(config, second.refresh_token);

    assert.notEqual(second.refresh_token, tokens.refresh_token);
    assert.notEqual(third.access_token, second.access_token);
    assert.equal(third.claims()?.sub ?? tokens.claims().sub, tokens.claims().sub);
  });

  test('a refresh token that is two exchanges old ends the grant', async () => {
    const tokens = await (await logIn()).redeem();
    const second = await client.refreshTokenGrant(config, tokens.refresh_token);
    const third = await client.refreshTokenGrant(config, second.refresh_token);

    await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' });

    await assert.rejects(client.refreshTokenGrant(config, third.refresh_token), { error: 'invalid_grant' });
    assert.equal((await introspect(third.access_token)).active, false);
  });

  test('two refreshes at once get the same successor', oursOnly, async () => {
    const tokens = await (await logIn()).redeem();

    const [one, two] = await Promise.all([1, 2].map(() => client.refreshTokenGrant(config, tokens.refresh_token)));

    assert.equal(one.refresh_token, two.refresh_token);
    assert.ok((await client.refreshTokenGrant(config, one.refresh_token)).access_token);
  });

  test('client credentials give a token of the client itself', async () => {
    const machine = await discover(authority.machine, client.ClientSecretBasic(authority.machine.client_secret));

    const tokens = await client.clientCredentialsGrant(machine, authority.machine.scope ? { scope: authority.machine.scope } : {});

    const answer = await introspect(tokens.access_token);
    assert.equal(answer.active, true);
    assert.equal(answer.client_id, authority.machine.client_id);
    assert.equal(tokens.refresh_token, undefined);
  });

  test('a public client goes the same way with PKCE alone', async () => {
    const native = await discover(authority.spa, client.None());

    const login = await logIn({ by: native, parameters: { scope: 'openid' } });

    assert.ok((await login.redeem()).id_token);
  });

  test('a revoked token is inactive, and closed at the gateway at once', async () => {
    const tokens = await (await logIn()).redeem();
    if (!isForeign) assert.equal((await authority.product.call(tokens.access_token)).status, 200);

    await client.tokenRevocation(config, tokens.access_token);

    assert.equal((await introspect(tokens.access_token)).active, false);
    if (!isForeign) {
      const denied = await until('the gateway denies', async () => {
        const answer = await authority.product.call(tokens.access_token);
        return answer.status === 401 && answer;
      }, { within: 1_000, every: 5 });
      assert.match(denied.headers.get('www-authenticate'), /^Bearer .*error="invalid_token"/);
      assert.match(denied.headers.get('content-type'), /^application\/problem\+json/);
    }
  });

  test('revoking the refresh token ends the access tokens of its grant', async () => {
    const tokens = await (await logIn()).redeem();

    await client.tokenRevocation(config, tokens.refresh_token);

    await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' });
    assert.equal((await introspect(tokens.access_token)).active, false);
  });

  test('logging out at the authority ends the session there', async () => {
    const login = await logIn();
    const tokens = await login.redeem();

    const url = client.buildEndSessionUrl(config, { post_logout_redirect_uri: logoutUri, id_token_hint: tokens.id_token, state: 'so long' });
    const landed = await logOut(login.browser, url, logoutUri);

    assert.equal(landed.searchParams.get('state'), 'so long');
    const again = await logIn({ browser: login.browser, parameters: { prompt: 'none', scope: 'openid' } });
    await assert.rejects(again.redeem(), { error: 'login_required' });
  });

  async function introspect(token) {
    const gateway = await discover(authority.introspection, client.ClientSecretBasic(authority.introspection.client_secret));
    return client.tokenIntrospection(gateway, token);
  }
});
