// Chromium: the pages that people meet, with and without JavaScript, in every look, judged by axe.
import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { createHash, randomBytes } from 'node:crypto';
import { accessibility, launch, looks, overflows, screenshot, visit } from '../lib/chromium.mjs';
import { until } from '../lib/process.mjs';
import { startProduct } from '../lib/product.mjs';

describe('pages', { timeout: 240_000 }, () => {
  let product;
  let metadata;
  let browser;
  let relyingParty;
  let web;

  before(async () => {
    [product, browser, relyingParty] = await Promise.all([startProduct(), launch(), startRelyingParty()]);
    metadata = await product.discover();
    web = await product.client('bright-books', {
      displayName: 'Bright Books', redirectUris: [`${relyingParty.url}/callback`], logoutUris: [`${relyingParty.url}/goodbye`],
      grants: ['authorization_code', 'refresh_token'], scopes: ['openid', 'profile', 'offline_access', 'echo.read'],
    });
  });
  after(async () => {
    await browser?.close();
    relyingParty?.stop();
    await product?.stop();
  });

  function authorizationUrl(more = {}) {
    const url = new URL(metadata.authorization_endpoint);
    const verifier = randomBytes(32).toString('base64url');
    url.search = new URLSearchParams({
      client_id: web.client_id, redirect_uri: `${relyingParty.url}/callback`, response_type: 'code', scope: 'openid profile offline_access echo.read', prompt: 'consent',
      state: 'state', nonce: 'nonce', code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256', ...more,
    });
    return { url: url.href, verifier };
  }

  async function logIn(page, password = product.user.password) {
    await page.fill('input[name=username]', product.user.username);
    await page.fill('input[name=password]', password);
    await page.click('form:has(input[name=password]) button:not([type=button])');
  }

  const decide = (page, decision) => page.click(`button[value=${decision}]`);

  const arrived = (page) => page.waitForURL(`${relyingParty.url}/callback?**`);

  for (const javaScriptEnabled of [true, false]) {
    test(`log in, allow, use, log out ${javaScriptEnabled ? 'with' : 'without'} JavaScript`, async () => {
      const { context, page, trouble } = await visit(browser, { javaScriptEnabled });
      const { url, verifier } = authorizationUrl();

      await page.goto(url);
      await logIn(page);
      await decide(page, 'allow');
      await arrived(page);
      const back = new URL(page.url());
      assert.equal(back.searchParams.get('iss'), product.issuer);
      const tokens = await redeem(back.searchParams.get('code'), verifier);
      assert.equal((await product.call(tokens.access_token)).status, 200);

      const goodbye = new URL(metadata.end_session_endpoint);
      goodbye.search = new URLSearchParams({ id_token_hint: tokens.id_token, post_logout_redirect_uri: `${relyingParty.url}/goodbye`, state: 'x' });
      await page.goto(goodbye.href);
      if (!page.url().startsWith(relyingParty.url)) await page.click('main form button, form button');
      await page.waitForURL(`${relyingParty.url}/goodbye?state=x`);
      await page.goto(authorizationUrl().url);
      assert.ok(await page.isVisible('input[name=password]'), 'the password is asked for again');
      assert.deepEqual(trouble, []);
      await context.close();
    });
  }

  test('the keyboard alone is enough', async () => {
    const { context, page } = await visit(browser);

    await page.goto(authorizationUrl().url);
    await tabTo(page, 'username');
    await page.keyboard.type(product.user.username);
    await tabTo(page, 'password');
    await page.keyboard.type(product.user.password);
    await page.keyboard.press('Enter');
    await page.waitForSelector('button[value=allow]');
    await tabTo(page, undefined, 'allow');
    await page.keyboard.press('Enter');
    await arrived(page);
    await context.close();
  });

  test('what is focused is seen', async () => {
    const { context, page } = await visit(browser);
    await page.goto(authorizationUrl().url);

    await tabTo(page, 'username');

    const ring = await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement);
      return { outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0, shadow: style.boxShadow !== 'none' };
    });
    assert.ok(ring.outline || ring.shadow, JSON.stringify(ring));
    await context.close();
  });

  test('password managers find their fields', async () => {
    const { context, page } = await visit(browser);

    await page.goto(authorizationUrl().url);

    assert.match(await page.getAttribute('input[name=username]', 'autocomplete'), /\busername\b/);
    assert.equal(await page.getAttribute('input[name=password]', 'autocomplete'), 'current-password');
    assert.equal(await page.getAttribute('input[name=password]', 'type'), 'password');
    assert.equal(await page.locator('form:has(input[name=password]) input[name=username]').count(), 1, 'one form has both');
    await context.close();
  });

  test('the login page is light, and asks nobody else', async () => {
    const { context, page, requests } = await visit(browser);

    await page.goto(authorizationUrl().url, { waitUntil: 'networkidle' });

    const own = requests.filter((request) => new URL(request.url()).origin === product.issuer && !request.redirectedTo());
    const others = requests.filter((request) => !['data:', 'blob:'].includes(new URL(request.url()).protocol) && new URL(request.url()).origin !== product.issuer);
    let bytes = 0;
    for (const request of own) bytes += (await request.sizes()).responseBodySize;
    assert.deepEqual(others.map((request) => request.url()), []);
    assert.ok(own.length <= 3, own.map((request) => request.url()).join('\n'));
    assert.ok(bytes <= 30 * 1024, `${bytes} bytes`);
    await context.close();
  });

  test('pages cannot be framed, and run no script but their own', async () => {
    const answer = await fetch(authorizationUrl().url);

    const policy = answer.headers.get('content-security-policy');
    assert.match(policy, /frame-ancestors 'none'/);
    assert.match(policy, /default-src 'none'|default-src 'self'/);
    assert.ok(!/unsafe-inline|unsafe-eval|\*/.test(policy), policy);
    assert.match(answer.headers.get('referrer-policy'), /no-referrer/);
    assert.match(answer.headers.get('cache-control'), /no-store/);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  });

  for (const look of looks) {
    test(`every page is accessible: ${look.name}`, async () => {
      const { context, page, trouble } = await visit(browser, look);
      const findings = [];
      const judge = async (name) => {
        await screenshot(page, `${name}-${look.name}`);
        findings.push(...(await accessibility(page, look)).map((finding) => `${name}: ${finding}`));
        if (await overflows(page)) findings.push(`${name}: scrolls sideways`);
        const language = await page.getAttribute('html', 'lang');
        if (!language) findings.push(`${name}: no language`);
      };

      const { url, verifier } = authorizationUrl();
      await page.goto(url);
      await judge('login');
      await logIn(page, 'not the password');
      await judge('login-wrong');
      assert.equal(await page.inputValue('input[name=username]'), product.user.username, 'what was typed is kept');
      await logIn(page);
      await page.waitForSelector('button[value=allow]');
      await judge('consent');
      await decide(page, 'allow');
      await arrived(page);
      await redeem(new URL(page.url()).searchParams.get('code'), verifier);
      // These answer with 4xx, which Chromium reports as an error of its own.
      const own = trouble.splice(0).filter((line) => !/status of 4\d\d/.test(line));
      await page.goto(authorizationUrl({ redirect_uri: 'https://elsewhere.example/' }).url);
      await judge('error');
      await page.goto(authorizationUrl({ client_id: 'nobody' }).url);
      await judge('error-client');
      for (const path of accountPages) {
        const answer = await page.goto(`${product.issuer}${path}`);
        assert.equal(answer.status(), 200, path);
        await judge(path.slice(1).replaceAll('/', '-'));
      }
      await page.goto(metadata.end_session_endpoint);
      await judge('logout');
      await page.click('main form button, form button');
      await judge('logged-out');

      assert.deepEqual([...own, ...trouble].filter((line) => !/status of 4\d\d/.test(line)), []);
      assert.deepEqual(findings, []);
      await context.close();
    });
  }

  test('a person sees what they allowed on their account page, and takes it back', async () => {
    const { context, page } = await visit(browser, { javaScriptEnabled: false });
    const { url, verifier } = authorizationUrl();
    await page.goto(url);
    await logIn(page);
    await decide(page, 'allow');
    await arrived(page);
    const tokens = await redeem(new URL(page.url()).searchParams.get('code'), verifier);
    assert.equal((await product.call(tokens.access_token)).status, 200);

    await page.goto(`${product.issuer}${accountPages[0]}`);
    assert.match(await page.textContent('main'), /Bright Books/);
    await Promise.all([
      page.waitForResponse((answer) => answer.request().method() === 'POST' && answer.url().endsWith('/account/grants/revoke')),
      page.locator('form[action$="/account/grants/revoke"] button').first().click(),
    ]);
    await until('the gateway refuses what was withdrawn', async () => (await product.call(tokens.access_token)).status === 401);
    assert.equal((await fetch(metadata.token_endpoint, refreshing(tokens.refresh_token))).status, 400);
    await context.close();
  });

  const basic = () => `Basic ${btoa(`${web.client_id}:${web.client_secret}`)}`;

  const refreshing = (token) => ({
    method: 'POST', headers: { authorization: basic() }, body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }),
  });

  async function redeem(code, verifier) {
    const answer = await fetch(metadata.token_endpoint, {
      method: 'POST', headers: { authorization: basic() },
      body: new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: `${relyingParty.url}/callback`, code_verifier: verifier }),
    });
    const tokens = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(tokens));
    return tokens;
  }
});

const accountPages = ['/account'];

async function tabTo(page, name, value) {
  for (let press = 0; press < 30; press += 1) {
    const focused = await page.evaluate(() => ({ name: document.activeElement?.name, value: document.activeElement?.value }));
    if ((name === undefined || focused.name === name) && (value === undefined || focused.value === value)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not reach ${name ?? value}`);
}

async function startRelyingParty() {
  const server = http.createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Bright Books</title><main><h1>Hello again</h1></main></html>');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => { server.closeAllConnections(); server.close(); } };
}
