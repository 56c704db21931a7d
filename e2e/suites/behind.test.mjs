// Identity behind the gateway: one public address, with TLS and HTTP/2; everything a client and a person do goes through it.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { copyFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import * as client from 'openid-client';
import { startBehind } from '../lib/behind.mjs';
import { Browser, authorize, logOut } from '../lib/browser.mjs';
import { agentTrusting, certificates } from '../lib/https.mjs';
import { run, until } from '../lib/process.mjs';
import { bearerOf } from '../lib/upstream.mjs';

const redirectUri = 'https://shop.example/callback';
const logoutUri = 'https://shop.example/goodbye';

for (const apart of [false, true]) {
  describe(`identity behind the gateway, ${apart ? 'each in a process of its own' : 'in one process'}`, { timeout: 120_000 }, () => {
    let product;
    let config;

    before(async () => {
      product = await startBehind({ apart });
      const web = await product.client('shop', {
        redirectUris: [redirectUri], logoutUris: [logoutUri], grants: ['authorization_code', 'refresh_token'],
        scopes: ['openid', 'profile', 'offline_access', 'orders.read'],
      });
      config = await client.discovery(new URL(product.issuer), web.client_id, undefined, client.ClientSecretBasic(web.client_secret), { [client.customFetch]: product.ask });
    });
    after(() => product?.stop());

    /** Somebody at 127.0.0.2, who says to be elsewhere. */
    const person = () => new Browser({ agent: agentTrusting(product.tls.ca, '127.0.0.2'), headers: { 'x-forwarded-for': '203.0.113.9', forwarded: 'for=203.0.113.9' } });

    async function logIn(browser = person()) {
      const verifier = client.randomPKCECodeVerifier();
      const [state, nonce] = [client.randomState(), client.randomNonce()];
      const url = client.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri, scope: 'openid profile offline_access orders.read', state, nonce, prompt: 'consent',
        code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
      });
      const back = await authorize(browser, url, redirectUri, product.user);
      const tokens = await client.authorizationCodeGrant(config, back.url, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true });
      return { tokens, browser, steps: back.steps };
    }

    const orders = (token) => product.ask(`${product.gateway}/orders/1`, { headers: token ? { authorization: `Bearer ${token}` } : {} });

    test('a person logs in, the client calls the API, and logs out, all at one address', async () => {
      const { tokens, browser, steps } = await logIn();
      assert.deepEqual(steps, ['login', 'consent']);
      const { sub } = tokens.claims();
      assert.equal((await client.fetchUserInfo(config, tokens.access_token, sub)).preferred_username, 'dana');

      assert.equal((await orders(tokens.access_token)).status, 200);
      const seen = product.api.seen.at(-1);
      assert.equal(bearerOf(seen).claims.sub, sub);
      assert.equal(bearerOf(seen).claims.iss, product.issuer);
      assert.ok(!JSON.stringify(seen).includes(tokens.access_token));

      const next = await client.refreshTokenGrant(config, tokens.refresh_token);
      assert.equal((await orders(next.access_token)).status, 200);
      const url = client.buildEndSessionUrl(config, { post_logout_redirect_uri: logoutUri, id_token_hint: tokens.id_token, state: 'bye' });
      assert.equal((await logOut(browser, url, logoutUri)).searchParams.get('state'), 'bye');
      assert.deepEqual([...new Set(browser.visited.map((address) => address.origin))], [product.issuer]);
    });

    test('a revoked token is closed at once', async () => {
      const { tokens } = await logIn();
      assert.equal((await orders(tokens.access_token)).status, 200);

      await client.tokenRevocation(config, tokens.access_token);

      await until('the gateway denies', async () => (await orders(tokens.access_token)).status === 401, { within: 1_000, every: 5 });
    });

    test('introspection is open to those who may ask', async () => {
      const { tokens } = await logIn();
      const gateway = await client.discovery(new URL(product.issuer), 'gateway', undefined, client.ClientSecretBasic(product.introspection.client_secret), { [client.customFetch]: product.ask });

      assert.equal((await client.tokenIntrospection(gateway, tokens.access_token)).active, true);
      const nobody = await product.ask(`${product.issuer}/introspect`, { method: 'POST', body: new URLSearchParams({ token: tokens.access_token }) });
      assert.equal(nobody.status, 401);
    });

    test('the metadata names the public address alone', async () => {
      const [one, two] = await Promise.all(['openid-configuration', 'oauth-authorization-server'].map(async (name) => (await product.ask(`${product.issuer}/.well-known/${name}`)).json()));
      assert.deepEqual(one, two);
      assert.equal(one.issuer, product.issuer);
      for (const [name, value] of Object.entries(one)) if (/_endpoint$|_uri$/.test(name)) assert.ok(value.startsWith(`${product.issuer}/`), name);
      assert.ok((await (await product.ask(one.jwks_uri)).json()).keys.length > 0);
    });

    test('cookies belong to the public host alone', async () => {
      const { browser } = await logIn();

      const cookies = browser.cookies();
      assert.ok(cookies.length >= 2);
      for (const { name, attributes } of cookies) {
        assert.match(name, /^__Host-/);
        const lower = attributes.map((one) => one.toLowerCase());
        assert.ok(lower.includes('secure') && lower.includes('httponly') && lower.includes('path=/'), `${name}: ${attributes}`);
        assert.ok(!lower.some((one) => one.startsWith('domain')), name);
      }
    });

    test('the account page knows the network that a person comes from, whatever they say', async () => {
      const { browser } = await logIn();

      const page = await browser.open(`${product.issuer}/account`);

      assert.equal(page.status, 200);
      assert.match(page.text, /127\.0\.0\.2/);
      assert.ok(!page.text.includes('203.0.113.9'));
      assert.equal((await browser.open(`${product.issuer}${/href="([^"]*\/assets\/[^"]+)"/.exec(page.text)[1]}`)).status, 200);
    });

    test('a person withdraws what they allowed', async () => {
      const { tokens, browser } = await logIn();
      const page = await browser.open(`${product.issuer}/account`);
      const form = page.forms.find((one) => one.action.endsWith('/account/grants/revoke'));

      assert.match((await browser.submit(form)).text, /has been withdrawn/);

      await until('the gateway denies', async () => (await orders(tokens.access_token)).status === 401, { within: 1_000, every: 5 });
    });

    test('a consent is withdrawn also if its code was never redeemed', async () => {
      const browser = person();
      const url = client.buildAuthorizationUrl(config, { redirect_uri: redirectUri, scope: 'openid profile', code_challenge: 'A'.repeat(43), code_challenge_method: 'S256', prompt: 'consent' });
      const back = await authorize(browser, url, redirectUri, product.user);
      assert.ok(back.url.searchParams.get('code'));
      const page = await browser.open(`${product.issuer}/account`);
      assert.match(page.text, /shop/);

      const next = await browser.submit(page.forms.find((one) => one.action.endsWith('/account/grants/revoke')));

      assert.match(next.text, /No application has access/);
      url.searchParams.delete('prompt');
      assert.deepEqual((await authorize(browser, url, redirectUri, product.user)).steps, ['consent']);
    });

    test('forms of another site are refused', async () => {
      for (const [origin, status] of [['https://evil.example', 403], [product.inner, 403], [product.issuer, 422]]) {
        const browser = person();
        const page = await browser.open(`${product.issuer}/login`);
        const form = page.forms.find((one) => one.fields.some((field) => field.name === 'password'));
        const fields = new URLSearchParams([...form.fields.map(({ name, value }) => [name, value]), ...form.buttons.slice(0, 1).map(({ name, value }) => [name, value])]);
        fields.set('username', 'dana');
        fields.set('password', 'wrong');
        const cookie = browser.cookies().map(({ name, value }) => `${name}=${value}`).join('; ');

        const answer = await product.ask(form.action, { method: 'POST', headers: { origin, cookie }, body: fields });

        assert.equal(answer.status, status, origin);
      }
    });

    test('administration, the feed and the rest cannot be reached', async () => {
      const headers = { authorization: `Bearer ${product.admin_token}` };
      for (const [where, status] of [
        ['/admin/v1/clients', 404], ['/admin/v1/audit', 404], ['/metrics', 404], ['/readyz', 404], ['/events/poll', 404], ['/', 404],
        ['/%61dmin/v1/clients', 404], ['/login/../admin/v1/clients', 400], ['/account/%2e%2e/admin/v1/clients', 400], ['//admin/v1/clients', 400],
        // This one is sent on, and there is nothing.
        ['/account/admin/v1/clients', 404],
      ]) {
        // As it stands: `URL` would tidy the path.
        const code = await curl(product, ['--path-as-is', '-H', `authorization: ${headers.authorization}`, '-o', '/dev/null', '-w', '%{http_code}', `${product.gateway}${where}`]);
        assert.equal(Number(code), status, where);
      }
    });

    test('applications in browsers may ask for tokens', async () => {
      const answer = await product.ask(`${product.issuer}/token`, {
        method: 'OPTIONS', headers: { origin: 'https://app.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
      });

      assert.equal(answer.status, 204);
      assert.equal(answer.headers.get('access-control-allow-origin'), '*');
      assert.match(answer.headers.get('access-control-allow-headers'), /authorization/);
    });

    for (const version of ['2', '1.1']) {
      test(`curl calls the API by TLS and HTTP/${version}`, async () => {
        const { tokens } = await logIn();
        const flag = `--http${version}`;
        const format = '\n%{http_version} %{http_code} %{ssl_verify_result}';

        const good = await curl(product, [flag, '-H', `authorization: Bearer ${tokens.access_token}`, '-w', format, `${product.gateway}/orders/1`]);
        assert.deepEqual(good.split('\n'), [JSON.stringify({ sub: tokens.claims().sub }), `${version} 200 0`]);
        assert.equal(bearerOf(product.api.seen.at(-1)).header.typ, 'at+jwt');
        assert.equal(product.api.seen.at(-1).headers['x-forwarded-proto'], 'https');

        const denied = await curl(product, [flag, '-D', '-', '-o', '/dev/null', '-w', format, `${product.gateway}/orders/1`]);
        assert.match(denied, /^www-authenticate: Bearer /im);
        assert.ok(denied.endsWith(`${version} 401 0`), denied);
        const page = await curl(product, [flag, '-w', format, `${product.issuer}/login`]);
        assert.ok(page.endsWith(`${version} 200 0`) && page.includes('name="password"'), page);
      });
    }

    // The last one that uses the first CA.
    test('a connection of HTTP/2 carries many requests, and outlives a change of the certificate', async () => {
      const { tokens } = await logIn();
      const headers = { ':path': '/orders/1', authorization: `Bearer ${tokens.access_token}` };
      const other = await certificates();
      const session = connect(product, product.tls.ca);

      assert.deepEqual(new Set(await Promise.all(Array.from({ length: 50 }, () => ask(session, headers)))), new Set([200]));
      copyFileSync(other.certificate, product.tls.certificate);
      copyFileSync(other.key, product.tls.key);
      product.servers.at(-1).child.kill('SIGHUP');
      await until('the new certificate is shown', async () => {
        const fresh = connect(product, other.ca);
        try { return await ask(fresh, headers) === 200; } finally { fresh.destroy(); }
      });

      assert.equal(await ask(session, headers), 200, 'the connection stays');
      const late = connect(product, product.tls.ca);
      await assert.rejects(ask(late, headers), /unable to verify|certificate/);
      session.close();
      late.destroy();
    });

    test('who does not know the CA does not get in', async () => {
      await assert.rejects(run('curl', ['-sS', '-4', `${product.gateway}/orders/1`]), /ended with 60/);
    });
  });
}

function connect(product, ca) {
  const session = http2.connect(product.gateway, { ca, family: 4 });
  session.setMaxListeners(100);
  session.on('error', () => {});
  return session;
}

/** The status of the answer. */
function ask(session, headers) {
  return new Promise((resolve, reject) => {
    session.on('error', reject);
    const stream = session.request(headers);
    let status;
    stream.on('response', (head) => { status = head[':status']; });
    stream.on('error', reject);
    stream.on('end', () => resolve(status));
    stream.resume();
  });
}

function curl(product, args) {
  return run('curl', ['-sS', '-4', '--max-time', '15', '--cacert', product.tls.caFile, ...args]);
}
