// npm `openid-client` and `oauth4webapi` as applications that register themselves: their secret or their key works at
// once, they exchange tokens, and what ends them is felt at the gateway.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { exportJWK, generateKeyPair } from 'jose';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';
import { Browser, authorize } from '../lib/browser.mjs';
import { until } from '../lib/process.mjs';
import { startProduct } from '../lib/product.mjs';

const redirectUri = 'http://127.0.0.1:9/callback';
const insecure = { execute: [client.allowInsecureRequests] };
const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange';
const accessToken = 'urn:ietf:params:oauth:token-type:access_token';

describe('registration', { timeout: 120_000 }, () => {
  let product;
  let portal;
  let registrar;
  let isActive;

  const issuer = () => new URL(product.issuer);
  const register = (metadata, auth, options = {}) => client.dynamicClientRegistration(issuer(), metadata, auth, { ...insecure, ...options });
  /** A token that is good for registering and nothing else. */
  const registerToken = async () => (await client.clientCredentialsGrant(registrar, { scope: 'client.register' })).access_token;
  const asRegistrar = async (method, path, { body, headers } = {}) => fetch(path.startsWith('http') ? path : `${product.issuer}${path}`, {
    method, body: body && JSON.stringify(body), headers: { authorization: `Bearer ${await registerToken()}`, 'content-type': 'application/json', ...headers },
  });
  const application = {
    client_name: 'Weather', redirect_uris: [redirectUri], grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    scope: 'openid profile offline_access echo.read e2e.read',
  };

  async function logIn(config) {
    const verifier = client.randomPKCECodeVerifier();
    const state = client.randomState();
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri, scope: 'openid offline_access echo.read', state,
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    });
    const back = await authorize(new Browser(), url, redirectUri, product.user);
    return client.authorizationCodeGrant(config, back.url, { pkceCodeVerifier: verifier, expectedState: state, idTokenExpected: true });
  }

  before(async () => {
    product = await startProduct();
    // The sample's own scope brings a claim that an application without a person has not.
    await product.apply([{ kind: 'Scope', name: 'e2e.read', spec: { audience: 'https://e2e.internal' } }]);
    const guard = await product.client('e2e-guard', { introspect: ['https://e2e.internal'] });
    const guarding = await client.discovery(issuer(), guard.client_id, undefined, client.ClientSecretBasic(guard.client_secret), insecure);
    isActive = async (token) => (await client.tokenIntrospection(guarding, token)).active;
    portal = await product.client('e2e-portal', {
      grants: ['client_credentials'], registrar: true, registration: { scopes: ['*'], audiences: ['*'] },
    });
    registrar = await client.discovery(issuer(), portal.client_id, undefined, client.ClientSecretBasic(portal.client_secret), insecure);
  });
  after(() => product?.stop());

  test('nobody registers without a token, and the metadata says how', async () => {
    const metadata = registrar.serverMetadata();
    assert.equal(metadata.registration_endpoint, `${product.issuer}/register`);
    assert.equal(metadata.registration_list_supported, true);
    assert.ok(metadata.token_endpoint_auth_methods_supported.includes('private_key_jwt'));
    assert.ok(metadata.grant_types_supported.includes(exchangeGrant));

    await assert.rejects(register(application), { status: 401 });
    const token = await product.admin('client', 'registration-token', 'create', 'e2e', '--uses', '1', '--scope', 'echo.read', '--scope', 'e2e.read');
    const once = { initialAccessToken: token.token };
    assert.ok((await register(application, undefined, once)).clientMetadata().client_id);
    await assert.rejects(register(application, undefined, once), { status: 401 });
  });

  test('an application registers itself, a person logs in to it, and the API answers', async () => {
    const config = await register({ ...application, token_endpoint_auth_method: 'client_secret_basic' }, undefined, { initialAccessToken: await registerToken() });
    const { client_id: id, client_secret: secret } = config.clientMetadata();
    const its = await client.discovery(issuer(), id, undefined, client.ClientSecretBasic(secret), insecure);

    const tokens = await logIn(its);

    assert.equal((await product.call(tokens.access_token)).status, 200);
    const next = await client.refreshTokenGrant(its, tokens.refresh_token);
    assert.equal((await product.call(next.access_token)).status, 200);
    // Suspended it is shut out at the gateway within a second, and resumed it goes on where it was.
    await product.admin('client', 'suspend', id);
    await until('the gateway refuses', async () => (await product.call(next.access_token)).status === 401, { within: 5000 });
    await assert.rejects(client.refreshTokenGrant(its, next.refresh_token), { status: 401 });
    await product.admin('client', 'resume', id);
    const again = await client.refreshTokenGrant(its, next.refresh_token);
    assert.equal((await product.call(again.access_token)).status, 200);
    assert.equal((await product.call(next.access_token)).status, 401);
    // Deleted it is gone for good.
    const { registration_client_uri: uri, registration_access_token: token } = config.clientMetadata();
    const own = (method) => fetch(uri, { method, headers: { authorization: `Bearer ${token}` } });
    assert.equal((await own('GET')).status, 200);
    assert.equal((await own('DELETE')).status, 204);
    await until('the gateway refuses', async () => (await product.call(again.access_token)).status === 401, { within: 5000 });
    assert.equal((await own('GET')).status, 401);
  });

  test('a lost answer makes no second client, and a lost client is found', async () => {
    const body = { ...application, software_id: 'e2e-app-7' };
    const send = () => asRegistrar('POST', '/register', { body, headers: { 'idempotency-key': 'e2e-app-7' } });
    const answers = await Promise.all(Array.from({ length: 8 }, send));
    const made = await Promise.all(answers.map((answer) => answer.json()));

    assert.deepEqual(answers.map((answer) => answer.status), Array(8).fill(201));
    assert.equal(new Set(made.map((one) => `${one.client_id} ${one.client_secret}`)).size, 1);
    const listed = await (await asRegistrar('GET', '/register?software_id=e2e-app-7')).json();
    assert.deepEqual(listed.clients.map((one) => one.client_id), [made[0].client_id]);
    assert.equal((await asRegistrar('DELETE', made[0].registration_client_uri)).status, 204);
  });

  test('a secret is exchanged without a failed call', async () => {
    const made = await (await asRegistrar('POST', '/register', { body: application })).json();
    const by = async (secret) => {
      const its = await client.discovery(issuer(), made.client_id, undefined, client.ClientSecretBasic(secret), insecure);
      return client.clientCredentialsGrant(its, { scope: 'e2e.read' });
    };
    await by(made.client_secret);
    const next = await (await asRegistrar('POST', `${made.registration_client_uri}/secret`, { body: { overlap: 3600 } })).json();
    assert.ok((await by(made.client_secret)).access_token);
    assert.ok((await by(next.client_secret)).access_token);
    await asRegistrar('POST', `${made.registration_client_uri}/secret`, { body: { overlap: 0 } });
    await assert.rejects(by(made.client_secret), { status: 401 });
  });

  for (const algorithm of ['ES256', 'EdDSA', 'RS256', 'PS256']) {
    test(`a client shows itself by its key: ${algorithm}`, async () => {
      const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
      const key = { ...(await exportJWK(publicKey)), kid: algorithm, alg: algorithm, use: 'sig' };
      const metadata = {
        ...application, token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: algorithm, jwks: { keys: [key] },
      };
      const config = await register(metadata, client.PrivateKeyJwt({ key: privateKey, kid: algorithm }), { initialAccessToken: await registerToken() });
      assert.equal(config.clientMetadata().client_secret, undefined);

      const tokens = await client.clientCredentialsGrant(config, { scope: 'e2e.read' });
      assert.equal(await isActive(tokens.access_token), true);
      await client.tokenRevocation(config, tokens.access_token);
      assert.equal(await isActive(tokens.access_token), false);
    });
  }

  test('keys are published, and change', async () => {
    const pairs = [await generateKeyPair('ES256'), await generateKeyPair('ES256')];
    const keys = await Promise.all(pairs.map(async ({ publicKey }, index) => ({ ...(await exportJWK(publicKey)), kid: `key-${index}` })));
    let asked = 0;
    const publisher = createServer((_, response) => { asked += 1; response.end(JSON.stringify({ keys: [keys[0]] })); });
    await new Promise((done) => { publisher.listen(0, '127.0.0.1', done); });
    try {
      const made = await (await asRegistrar('POST', '/register', {
        body: { ...application, token_endpoint_auth_method: 'private_key_jwt', jwks_uri: `http://127.0.0.1:${publisher.address().port}/jwks` },
      })).json();
      const as = { issuer: product.issuer, token_endpoint: `${product.issuer}/token` };
      const by = async (index, aud) => {
        const auth = oauth.PrivateKeyJwt({ key: pairs[index].privateKey, kid: `key-${index}` }, aud && { [oauth.modifyAssertion]: (_, payload) => { payload.aud = aud; } });
        const answer = await oauth.clientCredentialsGrantRequest(as, { client_id: made.client_id }, auth, { scope: 'e2e.read' }, { [oauth.allowInsecureRequests]: true });
        return answer.status;
      };
      assert.equal(await by(0), 200);
      assert.equal(await by(0, as.token_endpoint), 200);
      assert.equal(await by(0, 'https://other.example'), 401);
      assert.equal(await by(1), 401);
      assert.equal(await by(1), 401);
      assert.ok(asked <= 2, `${asked} questions`);
    } finally {
      publisher.close();
    }
  });

  test('a token is exchanged for one for less, and ends with the one before', async () => {
    const config = await register(application, undefined, { initialAccessToken: await registerToken() });
    const { client_id: id, client_secret: secret } = config.clientMetadata();
    const its = await client.discovery(issuer(), id, undefined, client.ClientSecretBasic(secret), insecure);
    const tokens = await logIn(its);
    const shown = await client.tokenIntrospection(
      await client.discovery(issuer(), product.introspection.client_id, undefined, client.ClientSecretBasic(product.introspection.client_secret), insecure),
      tokens.access_token,
    );
    const relay = await product.client('e2e-relay', { grants: [exchangeGrant], introspect: [shown.aud].flat() });
    const by = await client.discovery(issuer(), relay.client_id, undefined, client.ClientSecretBasic(relay.client_secret), insecure);

    const less = await client.genericGrantRequest(by, exchangeGrant, { subject_token: tokens.access_token, subject_token_type: accessToken, scope: 'echo.read' });

    assert.equal(less.issued_token_type, accessToken);
    assert.ok(less.expires_in <= tokens.expires_in && less.refresh_token === undefined);
    assert.equal((await product.call(less.access_token)).status, 200);
    const told = await client.tokenIntrospection(by, less.access_token);
    assert.deepEqual([told.sub, told.client_id, told.act], [shown.sub, 'e2e-relay', { sub: 'e2e-relay' }]);
    const wider = client.genericGrantRequest(by, exchangeGrant, { subject_token: less.access_token, subject_token_type: accessToken, scope: 'openid' });
    await assert.rejects(wider, { error: 'invalid_scope' });
    // The person's grant ends, and so does what came of it, at the gateway too.
    await client.tokenRevocation(its, tokens.refresh_token);
    await until('the gateway refuses', async () => (await product.call(less.access_token)).status === 401, { within: 5000 });
  });
});
