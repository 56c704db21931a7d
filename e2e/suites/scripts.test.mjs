// Chromium again, for what only scripts in a real browser show: `response_mode=form_post`, and pages of another origin that
// call an API.
import assert from 'node:assert/strict';
import http from 'node:http';
import path from 'node:path';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { createHash, randomBytes } from 'node:crypto';
import { launch, visit } from '../lib/chromium.mjs';
import { until } from '../lib/process.mjs';
import { startDev } from '../lib/product.mjs';
import { startUpstream } from '../lib/upstream.mjs';

describe('scripts', { timeout: 120_000 }, () => {
  let product;
  let metadata;
  let browser;
  let site;
  let stranger;
  let api;
  let web;

  before(async () => {
    [product, browser, site, stranger, api] = await Promise.all([startDev(), launch(), startSite(), startSite(), startUpstream()]);
    metadata = await product.discover();
    web = await product.client('bright-books', {
      redirectUris: [`${site.url}/callback`], grants: ['authorization_code'], scopes: ['openid', 'profile', 'echo.read'],
    });
    writeFileSync(path.join(product.data, 'resources/books.yaml'), `kind: Upstream
name: books
spec: { endpoints: ["http://127.0.0.1:${api.port}"] }
---
kind: Service
name: books
spec: { upstream: books, audience: "https://echo.internal" }
---
kind: Route
name: books
spec:
  match: { path: "/books/{id}", methods: [GET, PUT] }
  service: books
  auth: { issuer: main, scopes: [echo.read] }
  cors: { origins: ["${site.url}"], exposeHeaders: [www-authenticate, x-request-id] }
`);
    await until('the gateway knows the route', async () => (await fetch(`${product.gateway}/books/1`)).status === 401);
  });
  after(async () => {
    await browser?.close();
    site?.stop();
    stranger?.stop();
    await api?.stop();
    await product?.stop();
  });

  function authorizationUrl() {
    const verifier = randomBytes(32).toString('base64url');
    const url = new URL(metadata.authorization_endpoint);
    url.search = new URLSearchParams({
      client_id: web.client_id, redirect_uri: `${site.url}/callback`, response_type: 'code', response_mode: 'form_post', scope: 'openid profile echo.read',
      prompt: 'consent', state: '"><i>state', nonce: 'nonce', code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
    });
    return { url: url.href, verifier };
  }

  async function logIn(page) {
    await page.fill('input[name=username]', product.user.username);
    await page.fill('input[name=password]', product.user.password);
    await page.click('form:has(input[name=password]) button:not([type=button])');
    await page.waitForSelector('button[value=allow]');
  }

  for (const javaScriptEnabled of [true, false]) {
    for (const decision of ['allow', 'deny']) {
      test(`form_post, ${decision}, ${javaScriptEnabled ? 'with' : 'without'} JavaScript`, async () => {
        const { context, page, trouble } = await visit(browser, { javaScriptEnabled });
        site.posted.length = 0;
        const { url, verifier } = authorizationUrl();
        await page.goto(url);
        await logIn(page);

        await page.click(`button[value=${decision}]`);
        if (!javaScriptEnabled) await page.click('#form-post button');
        await page.waitForURL(site.home);

        const [sent, ...more] = site.posted;
        assert.deepEqual(more, []);
        assert.equal(sent.search, '', 'nothing in the address');
        assert.equal(sent.fields.get('state'), '"><i>state');
        assert.equal(sent.fields.get('iss'), product.issuer);
        if (decision === 'allow') {
          const answer = await redeem(sent.fields.get('code'), verifier);
          assert.equal((await product.call(answer.access_token)).status, 200);
        } else {
          assert.equal(sent.fields.get('error'), 'access_denied');
          assert.equal(sent.fields.get('code'), null);
        }
        assert.deepEqual(trouble, []);
        await context.close();
      });
    }
  }

  test('a login by form_post leaves forms in other tabs usable', async () => {
    const { context, page } = await visit(browser);
    await page.goto(authorizationUrl().url);
    await logIn(page);
    const other = await context.newPage();
    await other.goto(authorizationUrl().url);
    await other.waitForSelector('button[value=allow]');

    await page.click('button[value=allow]');
    await page.waitForURL(site.home);
    await other.click('button[value=allow]');

    await other.waitForURL(site.home);
    await context.close();
  });

  /** What a script in the page gets: status, body and headers, or `blocked`. */
  const call = (page, method, token) => page.evaluate(async ({ url, method, token }) => {
    try {
      const answer = await fetch(url, { method, headers: token ? { authorization: `Bearer ${token}` } : {} });
      const headers = Object.fromEntries(['www-authenticate', 'x-request-id', 'content-type', 'date'].map((name) => [name, answer.headers.get(name)]));
      return { status: answer.status, headers, body: await answer.json() };
    } catch (error) {
      return { blocked: String(error) };
    }
  }, { url: `${product.gateway}/books/1`, method, token });

  test('a page of an origin that is allowed calls the API, and reads why it may not', async () => {
    const { context, page } = await visit(browser);
    const token = await machineToken();
    await page.goto(site.url);

    for (const method of ['GET', 'PUT']) {
      // `authorization` makes each a request with a preflight.
      const good = await call(page, method, token);
      assert.equal(good.status, 200, JSON.stringify(good));
      assert.equal(good.body.sub, product.sample.client_id);
    }
    assert.deepEqual(api.seen.map((one) => one.method), ['GET', 'PUT'], 'a preflight does not reach the service');
    for (const wrong of [undefined, 'cat_wrong']) {
      const denied = await call(page, 'GET', wrong);
      assert.equal(denied.status, 401, JSON.stringify(denied));
      assert.match(denied.headers['www-authenticate'], /^Bearer /);
      assert.match(denied.headers['content-type'], /^application\/problem\+json/);
      assert.equal(denied.body.request_id, denied.headers['x-request-id']);
      assert.ok(denied.headers['x-request-id']);
    }
    assert.match((await call(page, 'DELETE', token)).blocked ?? '', /Failed to fetch/, 'a method that no route takes');
    await context.close();
  });

  test('a page of any other origin reads nothing, and its requests with a token are not even sent', async () => {
    const { context, page } = await visit(browser);
    const token = await machineToken();
    const before = api.seen.length;
    await page.goto(stranger.url);

    for (const given of [token, undefined]) {
      assert.match((await call(page, 'GET', given)).blocked ?? '', /Failed to fetch/);
    }
    assert.equal(api.seen.length, before);
    await context.close();
  });

  const basic = ({ client_id: id, client_secret: secret }) => ({ authorization: `Basic ${btoa(`${id}:${secret}`)}` });

  async function tokens(headers, fields) {
    const answer = await fetch(metadata.token_endpoint, { method: 'POST', headers, body: new URLSearchParams(fields) });
    const found = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(found));
    return found;
  }

  const redeem = (code, verifier) => tokens(basic(web), { grant_type: 'authorization_code', code, redirect_uri: `${site.url}/callback`, code_verifier: verifier });

  const machineToken = async () => (await tokens(basic(product.sample), { grant_type: 'client_credentials', scope: 'echo.read' })).access_token;
});

/** A site of somebody else: pages, and a callback that keeps what is posted to it and goes on. */
async function startSite() {
  const posted = [];
  // Another origin, as with clients that take their answers at one host and go on at another.
  const home = () => `http://localhost:${server.address().port}/welcome`;
  const server = http.createServer((request, response) => {
    const url = new URL(request.url, 'http://site');
    if (url.pathname !== '/callback') {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Bright Books</title><h1>Hello</h1></html>');
      return;
    }
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      if (request.method === 'POST') posted.push({ search: url.search, fields: new URLSearchParams(Buffer.concat(parts).toString()) });
      response.writeHead(303, { location: home() }).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { posted, home: home(), url: `http://127.0.0.1:${server.address().port}`, stop() { server.closeAllConnections(); server.close(); } };
}
