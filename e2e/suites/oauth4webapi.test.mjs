// npm `oauth4webapi`: the same flows request by request, and the three forms of introspection.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as oauth from 'oauth4webapi';
import { startAuthority, isForeign } from '../lib/authority.mjs';
import { Browser, authorize } from '../lib/browser.mjs';

const redirectUri = 'http://127.0.0.1:9/callback';
const logoutUri = 'http://127.0.0.1:9/goodbye';
const insecure = { [oauth.allowInsecureRequests]: true };
const oursOnly = { skip: isForeign && 'the foreign authority answers in other forms' };

describe('oauth4webapi', { timeout: 120_000 }, () => {
  let authority;
  let as;
  let web;
  let webAuth;

  before(async () => {
    authority = await startAuthority({ redirectUri, logoutUri });
    web = { client_id: authority.webPost.client_id };
    webAuth = oauth.ClientSecretPost(authority.webPost.client_secret);
    const issuer = new URL(authority.issuer);
    as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: isForeign ? 'oidc' : 'oauth2', ...insecure }));
  });
  after(() => authority?.stop());

  async function logIn(parameters = {}) {
    const verifier = oauth.generateRandomCodeVerifier();
    const state = oauth.generateRandomState();
    const nonce = oauth.generateRandomNonce();
    const url = new URL(as.authorization_endpoint);
    url.search = new URLSearchParams({
      client_id: web.client_id, redirect_uri: redirectUri, response_type: 'code', prompt: 'consent', state, nonce,
      scope: `openid profile offline_access${isForeign ? '' : ' echo.read'}`,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...parameters,
    });
    const browser = new Browser();
    const back = await authorize(browser, url, redirectUri, authority.user);
    const params = oauth.validateAuthResponse(as, web, back.url, state);
    const response = await oauth.authorizationCodeGrantRequest(as, web, webAuth, params, redirectUri, verifier, insecure);
    const tokens = await oauth.processAuthorizationCodeResponse(as, web, response, { expectedNonce: nonce, requireIdToken: true });
    await oauth.validateApplicationLevelSignature(as, response, insecure);
    return { tokens, response, browser };
  }

  const machineToken = async (parameters = authority.machine.scope ? { scope: authority.machine.scope } : {}) => {
    const machine = { client_id: authority.machine.client_id };
    const response = await oauth.clientCredentialsGrantRequest(as, machine, oauth.ClientSecretBasic(authority.machine.client_secret), parameters, insecure);
    return oauth.processClientCredentialsResponse(as, machine, response);
  };

  const introspection = () => ({ caller: { client_id: authority.introspection.client_id }, auth: oauth.ClientSecretBasic(authority.introspection.client_secret) });

  const rawIntrospection = (token, accept) => fetch(as.introspection_endpoint, {
    method: 'POST',
    headers: {
      accept,
      authorization: `Basic ${btoa(`${encodeURIComponent(authority.introspection.client_id)}:${encodeURIComponent(authority.introspection.client_secret)}`)}`,
    },
    body: new URLSearchParams({ token }),
  });

  test('code, PKCE, ID token with a signature that verifies', async () => {
    const { tokens, response } = await logIn();

    assert.equal(tokens.token_type, 'bearer');
    assert.match(response.headers.get('cache-control'), /no-store/);
    const claims = oauth.getValidatedIdTokenClaims(tokens);
    assert.equal(claims.aud, web.client_id);
  });

  test('userinfo is for the person of the ID token', async () => {
    const { tokens } = await logIn();
    const { sub } = oauth.getValidatedIdTokenClaims(tokens);

    const user = await oauth.processUserInfoResponse(as, web, sub, await oauth.userInfoRequest(as, web, tokens.access_token, insecure));

    assert.equal(user.preferred_username, authority.user.username);
  });

  test('userinfo without a token says how to come back', async () => {
    const answer = await fetch(as.userinfo_endpoint);

    assert.ok([400, 401].includes(answer.status));
    if (!isForeign) assert.match(answer.headers.get('www-authenticate'), /^Bearer/);
  });

  test('refresh', async () => {
    const { tokens } = await logIn();

    const response = await oauth.refreshTokenGrantRequest(as, web, webAuth, tokens.refresh_token, insecure);
    const next = await oauth.processRefreshTokenResponse(as, web, response);

    assert.notEqual(next.access_token, tokens.access_token);
    assert.notEqual(next.refresh_token, tokens.refresh_token);
  });

  test('a refresh with more scope than was granted is refused', async () => {
    const { tokens } = await logIn({ scope: 'openid offline_access' });

    const response = await oauth.refreshTokenGrantRequest(as, web, webAuth, tokens.refresh_token, { additionalParameters: { scope: 'openid profile' }, ...insecure });

    await assert.rejects(oauth.processRefreshTokenResponse(as, web, response), { error: 'invalid_scope' });
  });

  test('a wrong client secret is invalid_client with a challenge', async () => {
    const response = await oauth.clientCredentialsGrantRequest(as, { client_id: authority.machine.client_id }, oauth.ClientSecretBasic('wrong'), {}, insecure);

    assert.equal(response.status, 401);
    assert.match(response.headers.get('www-authenticate') ?? '', /Basic/);
    assert.equal((await response.json()).error, 'invalid_client');
  });

  test('an unknown grant type is named so', async () => {
    const response = await oauth.genericTokenEndpointRequest(as, web, webAuth, 'password', { username: 'a', password: 'b' }, insecure);

    assert.equal(response.status, 400);
    assert.equal((await response.json()).error, 'unsupported_grant_type');
  });

  test('introspection in JSON (RFC 7662)', async () => {
    const { access_token: token } = await machineToken();
    const { caller, auth } = introspection();

    const answer = await oauth.processIntrospectionResponse(as, caller, await oauth.introspectionRequest(as, caller, auth, token, insecure));

    assert.equal(answer.active, true);
    assert.equal(answer.client_id, authority.machine.client_id);
    if (!isForeign) assert.ok(answer.scope.split(' ').includes(authority.machine.scope));
  });

  test('introspection as a signed response (RFC 9701)', async () => {
    const { access_token: token } = await machineToken();
    const { auth } = introspection();
    const caller = { client_id: authority.introspection.client_id, introspection_signed_response_alg: 'ES256' };
    const server = { ...as, introspection_signing_alg_values_supported: ['ES256'] };

    const response = await oauth.introspectionRequest(server, caller, auth, token, { requestJwtResponse: true, ...insecure });
    const answer = await oauth.processIntrospectionResponse(server, caller, response);
    await oauth.validateApplicationLevelSignature(server, response, insecure);

    assert.match(response.headers.get('content-type'), /^application\/token-introspection\+jwt/);
    assert.equal(answer.active, true);
  });

  test('introspection as the JWT for the API (phantom token)', oursOnly, async () => {
    const { access_token: token } = await machineToken();

    const answer = await rawIntrospection(token, 'application/jwt');

    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-type'), /^application\/jwt/);
    const age = Number(/max-age=(\d+)/.exec(answer.headers.get('cache-control'))?.[1]);
    const jwt = await answer.text();
    const { payload, protectedHeader } = await jwtVerify(jwt, createRemoteJWKSet(new URL(as.jwks_uri)), { issuer: authority.issuer });
    assert.equal(protectedHeader.typ, 'at+jwt');
    assert.ok(payload.aud, 'it is for somebody');
    assert.ok(payload.scope.split(' ').includes(authority.machine.scope));
    assert.ok(age > 0 && age <= payload.exp - payload.iat, `max-age ${age} does not outlive the token`);
    assert.ok(!jwt.includes(token));
  });

  test('introspection of junk: inactive in each form', oursOnly, async () => {
    const asJwt = await rawIntrospection('junk', 'application/jwt');
    const asJson = await rawIntrospection('junk', 'application/json');

    assert.equal(asJwt.status, 204);
    assert.equal(await asJwt.text(), '');
    assert.deepEqual(await asJson.json(), { active: false });
  });

  test('introspection needs a caller who may', oursOnly, async () => {
    const nobody = await fetch(as.introspection_endpoint, { method: 'POST', body: new URLSearchParams({ token: 'junk' }) });

    assert.equal(nobody.status, 401);
  });

  test('revocation says yes to any token, and means it for its own', async () => {
    const { tokens } = await logIn();
    const { caller, auth } = introspection();
    assert.equal(await oauth.processRevocationResponse(await oauth.revocationRequest(as, web, webAuth, 'junk', insecure)), undefined);

    await oauth.processRevocationResponse(await oauth.revocationRequest(as, web, webAuth, tokens.access_token, insecure));

    const answer = await oauth.processIntrospectionResponse(as, caller, await oauth.introspectionRequest(as, caller, auth, tokens.access_token, insecure));
    assert.equal(answer.active, false);
  });

  test('a token of somebody else cannot be revoked', oursOnly, async () => {
    const { access_token: token } = await machineToken();
    const { caller, auth } = introspection();

    await oauth.revocationRequest(as, web, webAuth, token, insecure);

    const answer = await oauth.processIntrospectionResponse(as, caller, await oauth.introspectionRequest(as, caller, auth, token, insecure));
    assert.equal(answer.active, true);
  });

  test('keys are public keys only', async () => {
    const { keys } = await (await fetch(as.jwks_uri)).json();

    assert.ok(keys.length > 0);
    for (const key of keys) {
      assert.ok(key.kid);
      for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) assert.equal(key[secret], undefined, secret);
    }
  });

  test('an answer to the browser that another authority gave is refused', async () => {
    const url = new URL(`${redirectUri}?code=x&state=y&iss=http://localhost:1`);

    assert.throws(() => oauth.validateAuthResponse(as, web, url, 'y'), /iss/);
  });
});
