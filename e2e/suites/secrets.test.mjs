// What an attacker finds who gets the database files, or the log at its most talkative: nothing that can be used.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { createHash, randomBytes } from 'node:crypto';
import { Browser, authorize } from '../lib/browser.mjs';
import { startDev } from '../lib/product.mjs';

const redirectUri = 'http://127.0.0.1:9/callback';

describe('secrets', { timeout: 120_000 }, () => {
  const secrets = new Map();
  let product;
  let log;

  before(async () => {
    product = await startDev({ flags: ['--log', 'trace'] });
    const metadata = await product.discover();
    const web = await product.client('e2e-web', { redirectUris: [redirectUri], grants: ['authorization_code', 'refresh_token'], scopes: ['openid', 'offline_access', 'echo.read'] });
    const basic = (one) => `Basic ${btoa(`${one.client_id}:${one.client_secret}`)}`;
    const post = (endpoint, form, one = web, headers = {}) => fetch(endpoint, { method: 'POST', headers: { authorization: basic(one), ...headers }, body: new URLSearchParams(form) });

    const verifier = randomBytes(32).toString('base64url');
    const url = new URL(metadata.authorization_endpoint);
    url.search = new URLSearchParams({
      client_id: web.client_id, redirect_uri: redirectUri, response_type: 'code', scope: 'openid offline_access echo.read', prompt: 'consent',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
    });
    const browser = new Browser();
    const wrong = await browser.open(url);
    const form = wrong.forms.find((one) => one.fields.some((field) => field.name === 'password'));
    const almost = `almost-${randomBytes(8).toString('hex')}`;
    await browser.submit(form, { username: product.user.username, password: almost });
    const { url: back } = await authorize(browser, url, redirectUri, product.user);
    const code = back.searchParams.get('code');
    const tokens = await (await post(metadata.token_endpoint, { grant_type: 'authorization_code', code, redirect_uri: redirectUri, code_verifier: verifier })).json();
    const next = await (await post(metadata.token_endpoint, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token })).json();
    assert.equal((await product.call(next.access_token)).status, 200);
    assert.equal((await product.call('made-up-token-0123456789abcdef')).status, 401);
    const jwt = await (await post(metadata.introspection_endpoint, { token: next.access_token }, product.introspection, { accept: 'application/jwt' })).text();
    await fetch(metadata.userinfo_endpoint, { headers: { authorization: `Bearer ${next.access_token}` } });

    secrets.set('the password', product.user.password).set('a mistyped password', almost);
    secrets.set('a client secret', web.client_secret).set('the gateway\'s secret', product.introspection.client_secret).set('the admin token', product.admin_token);
    secrets.set('a code', code).set('a code verifier', verifier).set('an access token', tokens.access_token).set('a refresh token', tokens.refresh_token);
    secrets.set('the next access token', next.access_token).set('the next refresh token', next.refresh_token).set('a JWT', jwt.split('.')[2]);
    secrets.set('an ID token', tokens.id_token.split('.')[2]).set('a made-up token', 'made-up-token-0123456789abcdef');
    for (const cookie of browser.cookies().filter((one) => one.value.length >= 16)) secrets.set(`cookie ${cookie.name}`, cookie.value);
    for (const kept of files(path.join(product.data, 'secrets'))) {
      const text = readFileSync(kept, 'utf8').trim();
      if (text.length >= 12) secrets.set(`the file ${path.basename(kept)}`, text);
    }
    for (const [name, value] of secrets) assert.ok(value?.length >= 12, `${name}: ${value}`);
    await product.stop();
    log = product.servers[0].lines.filter((line) => !line.startsWith('{"gateway"')).join('\n');
  });
  after(() => product?.stop());

  test('the log at its most talkative holds none of them', () => {
    assert.ok(log.length > 1_000, 'there is a log');
    const found = [...secrets].filter(([, value]) => log.includes(value)).map(([name, value]) => `${name}: ${lineWith(log, value)}`);
    assert.deepEqual(found, []);
  });

  test('the files of the database hold none of them', () => {
    const looked = files(product.data).filter((file) => !file.startsWith(path.join(product.data, 'secrets')));
    assert.ok(looked.some((file) => /sqlite|\.db/.test(file)), looked.join('\n'));
    const found = [];
    for (const file of looked) {
      const bytes = readFileSync(file);
      for (const [name, value] of secrets) if (bytes.includes(value)) found.push(`${name} in ${path.basename(file)}`);
      if (bytes.includes('PRIVATE KEY')) found.push(`a private key in ${path.basename(file)}`);
    }
    assert.deepEqual(found, []);
  });

  test('the files are closed to others', () => {
    const open = files(product.data).filter((file) => statSync(file).mode & 0o077);
    const outer = statSync(product.data).mode & 0o077;
    assert.ok(outer === 0 || open.length === 0, open.join('\n'));
  });
});

const lineWith = (log, value) => log.split('\n').find((line) => line.includes(value))?.replaceAll(value, '…')?.slice(0, 200);

function files(folder) {
  return readdirSync(folder, { recursive: true }).map((name) => path.join(folder, name)).filter((name) => statSync(name).isFile());
}
