// Chromium: portal and console, the newcomer's path, every page in every look.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { accessibility, launch, looks, overflows, says, screenshot, visit } from '../lib/chromium.mjs';
import { temporaryFolder, until } from '../lib/process.mjs';
import { startDev } from '../lib/product.mjs';

const pageLooks = [...looks, { name: 'light-very-wide', colorScheme: 'light', viewport: { width: 2200, height: 1200 } }];

const document = (version = '1.0.0', path = '/orders/{id}') => JSON.stringify({
  openapi: '3.1.0',
  info: { title: 'Orders', version, description: 'All orders of the shop.\n\n- Read them one by one\n- Make new ones' },
  servers: [{ url: 'http://127.0.0.1:9' }],
  components: {
    securitySchemes: { oauth: { type: 'oauth2', flows: { clientCredentials: { tokenUrl: 'https://id.example/token', scopes: { 'echo.read': 'Read' } } } } },
    schemas: {
      Order: { type: 'object', required: ['id', 'state'], properties: { id: { type: 'integer', description: 'Its number.' }, state: { enum: ['open', 'sent', 'paid'] }, lines: { type: 'array', items: { $ref: '#/components/schemas/Line' } } } },
      Line: { type: 'object', properties: { article: { type: 'string', example: 'A-4711' }, count: { type: 'integer', example: 2 } } },
    },
  },
  paths: {
    '/orders': {
      get: { operationId: 'listOrders', summary: 'List orders', tags: ['Orders'], security: [{ oauth: ['echo.read'] }], parameters: [{ name: 'state', in: 'query', description: 'Only those in this state.', schema: { enum: ['open', 'sent', 'paid'] } }], responses: { 200: { description: 'The orders', content: { 'application/json': { schema: { type: 'array', items: { $ref: '#/components/schemas/Order' } } } } } } },
      post: { operationId: 'makeOrder', summary: 'Make an order', tags: ['Orders'], security: [{ oauth: ['echo.read'] }], requestBody: { required: true, content: { 'application/json': { schema: { $ref: '#/components/schemas/Order' } } } }, responses: { 201: { description: 'Made' } } },
    },
    [path]: { get: { operationId: 'readOrder', summary: 'Read an order', tags: ['Orders'], security: [{ oauth: ['echo.read'] }], parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer', example: 7 } }], responses: { 200: { description: 'The order', content: { 'application/json': { schema: { $ref: '#/components/schemas/Order' } } } }, 404: { description: 'There is none' } } } },
  },
});

describe('portal', { timeout: 480_000 }, () => {
  let product;
  let browser;

  before(async () => {
    [product, browser] = await Promise.all([startDev(), launch()]);
  });
  after(async () => {
    await browser?.close();
    await product?.stop();
  });

  const at = (path) => `${product.portal}${path}`;

  async function signIn(page, to = '/') {
    await page.goto(at(`/login?return_to=${encodeURIComponent(to)}`));
    if (page.url().startsWith(product.issuer)) {
      await page.fill('input[name=username]', product.user.username);
      await page.fill('input[name=password]', product.user.password);
      await page.click('#sign-in');
      const consent = page.locator('button[value=allow]');
      await Promise.race([page.waitForURL(`${product.portal}/**`), consent.waitFor()]);
      if (await consent.count()) await consent.click();
    }
    await page.waitForURL((url) => url.href.startsWith(product.portal));
  }

  // The link works once: whoever comes by it first keeps the session for the others.
  let console_;
  async function openConsole(look) {
    const seen = await visit(browser, look);
    if (console_) await seen.context.addCookies(console_);
    else {
      await seen.page.goto(product.console);
      console_ = await seen.context.cookies();
    }
    return seen;
  }

  const quiet = (trouble) => trouble.filter((line) => !/status of 4\d\d/.test(line));

  test('the one-time link opens the console, once', async () => {
    const { context, page, trouble } = await openConsole();
    await page.goto(at('/console'));
    assert.match(await page.textContent('h1'), /Overview/);
    const again = await visit(browser);
    const answer = await again.page.goto(product.console);
    assert.equal(answer.status(), 410);
    assert.deepEqual(quiet(trouble), []);
    await again.context.close();
    await context.close();
  });

  test('an API is imported, looked at, published, and given a plan, by page', async () => {
    const { context, page, trouble } = await openConsole();
    await page.goto(at('/console/import'));
    await page.fill('#document', document());
    await page.click('button[value=look]');
    await says(page, /What it would be/, '#would');
    await screenshot(page, 'console-import-report-light-wide');
    await page.click('button[value=publish]');
    await page.waitForURL(at('/console/apis/orders'));
    await page.goto(at('/console/plans/new?api=orders'));
    await page.fill('#name', 'orders-gold');
    await page.fill('#title', 'Gold');
    await page.fill('#quota_requests', '1,000');
    await page.fill('#monthly', '9.00');
    await page.fill('#tiers', '100: 0\n0.01');
    await page.check('#manual');
    await page.click('button[value=save]');
    await page.waitForURL(at('/console/plans/orders-gold'));
    assert.match(await page.textContent('main'), /1,000 a day/);
    assert.deepEqual(quiet(trouble), []);
    await context.close();
  });

  test('a newcomer signs in and tries the sample API; nothing has to be filled in', async () => {
    const { context, page, trouble } = await visit(browser);
    const began = Date.now();
    await signIn(page);
    await page.click('a[href="/apis/echo"]');
    await page.click('main table a[href^="/apis/echo/operations/"]');
    await page.click('#try-form button');
    await page.waitForSelector('#try-answer:not([hidden])', { timeout: 15_000 });
    assert.match(await page.textContent('#try-status'), /^200/, await page.textContent('#try-text'));
    assert.ok(Date.now() - began < 60_000);
    await screenshot(page, 'portal-tried-light-wide');
    assert.deepEqual(trouble, []);
    await context.close();
  });

  test('an application is made, its secret shown once, subscribed; its call is seen with its request id', async () => {
    const { context, page, trouble } = await visit(browser);
    await signIn(page, '/applications/new?api=echo');
    await page.fill('#name', 'Bright Books');
    await page.click('#application button.primary');
    await page.waitForURL(/\/applications\/[0-9a-f]+\?/);
    await page.click('#show button');
    const [id, secret] = [await page.textContent('#client-id'), await page.textContent('#client-secret')];
    await screenshot(page, 'portal-secret-light-wide');
    await page.click('text=Next: choose a plan');
    await page.locator('form[action="/apis/echo/subscribe"] button').first().click();
    await page.waitForURL(/\/subscriptions\//);
    await says(page, /in force/);
    const metadata = await product.discover();
    const answer = await fetch(metadata.token_endpoint, {
      method: 'POST', headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}` }, body: new URLSearchParams({ grant_type: 'client_credentials', scope: product.sample.scope }),
    });
    const tokens = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(tokens));
    let called;
    for (let tries = 0; tries < 20; tries += 1) {
      called = await product.call(tokens.access_token);
      if (called.status === 200) break;
      await page.waitForTimeout(250);
    }
    assert.equal(called.status, 200, await called.clone().text());
    const request = called.headers.get('x-request-id');
    await page.goto(at('/usage'));
    for (let tries = 0; tries < 30 && (await page.goto(at(`/calls/${request}`))).status() !== 200; tries += 1) await page.waitForTimeout(300);
    assert.match(await page.textContent('main'), /echo/);
    await page.goto(at('/usage'));
    assert.match(await page.textContent('main'), /200/);
    assert.deepEqual(quiet(trouble), []);
    await context.close();
  });

  test('a subscription that waits is approved in the console', async () => {
    const { context, page } = await visit(browser);
    await signIn(page, '/apis/orders');
    await page.fill('textarea[name=note]', 'Our shop reads its orders.');
    await page.locator('form[action="/apis/orders/subscribe"] button').first().click();
    await page.waitForURL(/\/subscriptions\//);
    await says(page, /The provider decides/);
    const operator = await openConsole();
    await operator.page.goto(at('/console/approvals'));
    await screenshot(operator.page, 'console-approvals-waiting-light-wide');
    await operator.page.click('button[value=approve]');
    await says(operator.page, /Nothing waits/);
    await page.reload();
    await says(page, /in force/);
    await operator.context.close();
    await context.close();
  });

  test('a policy is published, seen, explained and rolled back', async () => {
    const { context, page, trouble } = await openConsole();
    const folder = temporaryFolder('policies');
    writeFileSync(path.join(folder, 'calls.cedar'), `@id("token-holders-call")
permit (principal, action == Action::"call", resource);
@id("tokens-are-issued")
permit (principal, action in [Action::"issue_token", Action::"grant_scope"], resource);
// Nobody hears an echo while it is repaired.
@id("echo-is-quiet")
@reason("The echo is being repaired.")
forbid (principal, action == Action::"call", resource in Api::"echo")
unless { context.request has host && context.request.host == "workshop" };
`);
    writeFileSync(path.join(folder, 'tests.yaml'), `tests:
  - name: quiet
    question: { subject: { type: user, id: ann }, action: { name: call }, resource: { type: operation, id: echo/echo, properties: { api: echo } } }
    expect: deny
    because: [echo-is-quiet]
`);
    await product.admin('policy', 'publish', folder, '--comment', 'the echo is repaired');
    await page.goto(at('/console/policies'));
    await says(page, /echo-is-quiet/);
    await says(page, /The echo is being repaired/);
    await page.click('tbody th a:has-text("echo-is-quiet")');
    await page.waitForURL(/versions\/2#calls\.cedar-\d+$/);
    await says(page, /the echo is repaired/);
    // Gateways hear of it within moments; the refused call then leads to the decision, and that to its question.
    const metadata = await product.discover();
    const { sample } = product;
    const answer = await fetch(metadata.token_endpoint, {
      method: 'POST', headers: { authorization: `Basic ${btoa(`${sample.client_id}:${sample.client_secret}`)}` }, body: new URLSearchParams({ grant_type: 'client_credentials', scope: sample.scope }),
    });
    const { access_token: token } = await answer.json();
    const called = await until('the gateway refuses', async () => { const one = await product.call(token); return one.status === 403 ? one : undefined; }, { every: 300 });
    const request = called.headers.get('x-request-id');
    await until('the call and its decision are told', async () => {
      const found = await page.goto(at(`/console/calls/${request}`));
      if (found.status() !== 200) return false;
      await page.goto(at(`/console/policies/decisions?request_id=${request}`));
      return (await page.textContent('main')).includes('echo-is-quiet');
    });
    // The token service has asked too, when it gave the token.
    await page.goto(at(`/console/policies/decisions?resource=${sample.scope}`));
    await says(page, /grant_scope/);
    await page.goto(at(`/console/calls/${request}`));
    await page.click('main a:has-text("decision")');
    await page.waitForURL(/decisions\?request_id=/);
    await screenshot(page, 'console-policy-decision-light-wide');
    await page.click('tbody a:has-text("Explain")');
    await page.waitForURL(/explain\?/);
    assert.equal(await page.inputValue('#resource_id'), 'echo/echo');
    await page.click('#explain button.primary');
    await says(page, /A policy forbids it/);
    await says(page, /no exception/, '.checks');
    await screenshot(page, 'console-policy-refused-light-wide');
    await page.goto(at('/console/policies/versions/1'));
    await page.click('text=Roll back to it');
    await page.waitForURL(/versions\/1\/publish$/);
    await says(page, /echo-is-quiet/);
    await screenshot(page, 'console-policy-roll-back-light-wide');
    await page.fill('#comment', 'the echo works again');
    await page.click('#publish button');
    await page.waitForURL(at('/console/policies'));
    await says(page, /Version 1/, '.figures');
    await page.goto(at('/console/policies/history'));
    await says(page, /the echo works again/);
    await says(page, /console for /);
    await until('the gateway lets calls pass', async () => (await product.call(token)).status === 200, { every: 300 });
    assert.deepEqual(quiet(trouble), []);
    await context.close();
  });

  test('portal and console work without JavaScript', async () => {
    const { context, page } = await visit(browser, { javaScriptEnabled: false });
    await signIn(page, '/apis/echo');
    await page.locator('main table a[href^="/apis/echo/operations/"]').first().click();
    await page.click('form.no-js button');
    await says(page, /TOKEN=/);
    await page.locator('.menu > summary').click();
    await page.click('#logout button');
    await page.waitForURL(at('/logged-out'));
    await page.goto(at('/'));
    assert.ok(await page.isVisible('text=Sign in'));
    await context.close();
  });

  test('the keyboard alone reaches the content and its first link', async () => {
    const { context, page } = await visit(browser);
    await signIn(page);
    await page.goto(at('/'));
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'q');
    await context.close();
  });

  test('pages load nothing from elsewhere, and run no script but their own', async () => {
    const { context, page, requests } = await visit(browser);
    await signIn(page);
    const answer = await page.goto(at('/apis/echo'), { waitUntil: 'networkidle' });
    const policy = answer.headers()['content-security-policy'];
    assert.match(policy, /default-src 'none'/);
    assert.ok(!/unsafe|\*/.test(policy), policy);
    const others = requests.filter((request) => ![product.portal, product.issuer].includes(new URL(request.url()).origin));
    assert.deepEqual(others.map((request) => request.url()), []);
    await context.close();
  });

  for (const look of pageLooks) {
    test(`every page is accessible: ${look.name}`, async () => {
      const person = await visit(browser, look);
      await signIn(person.page);
      const operator = await openConsole(look);
      const findings = [];
      const judge = async (page, name, path) => {
        if (path) {
          const answer = await page.goto(at(path));
          if (answer.status() >= 500) findings.push(`${name}: ${answer.status()}`);
        }
        await screenshot(page, `${name}-${look.name}`);
        findings.push(...(await accessibility(page, look)).map((finding) => `${name}: ${finding}`));
        if (await overflows(page)) findings.push(`${name}: scrolls sideways`);
      };
      const { page } = person;
      for (const [name, path] of [
        ['portal-apis', '/'], ['portal-apis-empty', '/?q=nothing-like-this'], ['portal-api', '/apis/echo'], ['portal-api-orders', '/apis/orders'],
        ['portal-operation', '/apis/orders/operations/makeOrder'], ['portal-applications', '/applications'], ['portal-application-new', '/applications/new'],
        ['portal-usage', '/usage'], ['portal-invoices', '/invoices'], ['portal-organisation', '/organisation'], ['portal-not-found', '/apis/nothing'],
      ]) await judge(page, name, path);
      await page.goto(at('/applications'));
      const link = page.locator('tbody th a').first();
      if (await link.count()) { await link.click(); await judge(page, 'portal-application'); }
      await page.goto(at('/usage'));
      const call = page.locator('a[href^="/calls/"]').first();
      if (await call.count()) { await call.click(); await judge(page, 'portal-call'); }
      await page.goto(at('/usage'));
      const subscription = page.locator('a[href^="/subscriptions/"]').first();
      if (await subscription.count()) { await subscription.click(); await judge(page, 'portal-subscription'); }
      const invoice = (await page.goto(at('/invoices'))) && page.locator('tbody a[href^="/invoices/"]').first();
      if (await invoice.count()) { await invoice.click(); await judge(page, 'portal-invoice'); }
      for (const [name, path] of [
        ['console-overview', '/console'], ['console-calls', '/console/calls'], ['console-gateways', '/console/gateways'], ['console-apis', '/console/apis'],
        ['console-api', '/console/apis/orders'], ['console-import', '/console/import'], ['console-plans', '/console/plans'], ['console-plan', '/console/plans/orders-gold'],
        ['console-approvals', '/console/approvals'], ['console-consumers', '/console/consumers'], ['console-usage', '/console/usage'], ['console-audit', '/console/audit'],
        ['console-members', '/console/members'], ['console-policies', '/console/policies'], ['console-policies-none', '/console/policies?q=nothing-like-this'],
        ['console-policy-versions', '/console/policies/versions'], ['console-policy-version', '/console/policies/versions/1'],
        ['console-policy-difference', '/console/policies/difference?from=1&to=2'], ['console-policy-history', '/console/policies/history'],
        ['console-policy-decisions', '/console/policies/decisions'], ['console-policy-publish', '/console/policies/versions/2/publish'],
        ['console-policy-explain', '/console/policies/explain'], ['console-policy-unknown', '/console/policies/versions/999'],
      ]) await judge(operator.page, name, path);
      await operator.page.goto(at('/console/policies/explain?subject_id=ann&resource_id=echo/echo'));
      await operator.page.click('#explain button.primary');
      await says(operator.page, /By version/);
      await judge(operator.page, 'console-policy-explained');
      await operator.page.fill('#context', '{');
      await operator.page.click('#explain button.primary');
      await says(operator.page, /write a JSON object/);
      await judge(operator.page, 'console-policy-explain-wrong');
      const consumer = (await operator.page.goto(at('/console/consumers'))) && operator.page.locator('tbody th a').first();
      if (await consumer.count()) { await consumer.click(); await judge(operator.page, 'console-consumer'); }
      assert.deepEqual(quiet([...person.trouble, ...operator.trouble]), []);
      assert.deepEqual(findings, []);
      await person.context.close();
      await operator.context.close();
    });
  }
});
