// The newcomer's first five minutes, whole, as a person goes through them: a terminal and Chromium.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { accessibility, launch, looks, overflows, says, screenshot, visit } from '../lib/chromium.mjs';
import { freePorts, run, temporaryFolder, until } from '../lib/process.mjs';
import { startCardea, startDev } from '../lib/product.mjs';
import { startUpstream } from '../lib/upstream.mjs';

const openapi = {
  openapi: '3.1.0',
  info: { title: 'Parcels', version: '1.2.0', description: 'Where parcels are.' },
  components: {
    securitySchemes: { oauth: { type: 'oauth2', flows: { clientCredentials: { tokenUrl: 'https://id.example/token', scopes: { 'parcels.read': 'Read', 'parcels.send': 'Send' } } } } },
  },
  paths: {
    '/parcels/{id}': { get: { operationId: 'readParcel', summary: 'Read a parcel', security: [{ oauth: ['parcels.read'] }], parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer', example: 7 } }], responses: { 200: { description: 'The parcel' } } } },
    '/parcels': { post: { operationId: 'sendParcel', security: [{ oauth: ['parcels.send'] }], responses: { 201: { description: 'Sent' } } } },
    '/state': { get: { operationId: 'state', summary: 'Whether it works', security: [], responses: { 200: { description: 'It does' } } } },
  },
};

describe('the first five minutes', { timeout: 240_000 }, () => {
  const folder = temporaryFolder('minutes');
  let browser;
  let server;
  let said;
  let at;
  let upstream;
  let console_;

  before(async () => {
    mkdirSync(path.join(folder, 'bin'));
    symlinkSync(process.env.CARDEA_BIN, path.join(folder, 'bin/cardea'));
    const port = await freePorts(6);
    at = (offset, rest = '') => `http://localhost:${port + offset}${rest}`;
    server = startCardea('cardea dev', ['dev', '--port', String(port)], { cwd: folder });
    [browser, upstream] = await Promise.all([launch(), startUpstream()]);
    await until('cardea dev says what to try', () => server.lines.some((line) => line.includes('curl ')), { server, within: 30_000 });
    said = server.lines.slice();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await upstream?.stop();
  });

  const printed = (pattern) => {
    const line = said.find((one) => pattern.test(one));
    assert.ok(line, `${pattern} is not among\n${said.join('\n')}`);
    return line.trim();
  };
  const shell = (script) => run('bash', ['-c', `set -eu\n${script}`], { cwd: folder, env: { PATH: `${folder}/bin:${process.env.PATH}`, NO_COLOR: '1' } });
  const curl = () => printed(/^ *curl /).replace('curl', 'curl -sS');
  const quiet = (trouble) => trouble.filter((line) => !/status of 4\d\d/.test(line));

  /** The two lines that are printed, copied; with the token, to call with it again. */
  async function call(more = '') {
    const out = await shell(`${printed(/^ *T=\$\(/)}\necho "$T"\n${curl()}${more}`);
    const [token, ...rest] = out.split('\n');
    return { token, text: rest.join('\n') };
  }

  test('minute 1: the reply shows both sides, and what the call cost', async () => {
    const { token, text } = await call(' -D headers.txt');
    const { you_sent: sent, upstream_received: received, it_cost: cost, traceparent } = JSON.parse(text);

    assert.ok(sent.token.includes(`…${token.slice(-6)}`), `${sent.token} ends as the token does`);
    assert.ok(!text.includes(token.slice(0, -6)), 'and no more of it is there');
    assert.ok(!/eyJ[\w-]{10,}\.[\w-]{10,}/.test(text), 'nor the JWT itself');
    for (const claim of ['sub', 'aud', 'scope', 'exp']) assert.ok(received.claims[claim], claim);
    assert.equal(received.header.typ, 'at+jwt');
    assert.match(traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/);
    const headers = readFileSync(path.join(folder, 'headers.txt'), 'utf8').toLowerCase();
    assert.deepEqual([cost.plan, cost.units], ['free', 1]);
    assert.ok(headers.includes(`ratelimit: ${cost.ratelimit}`), `${cost.ratelimit} is what the caller reads too:\n${headers}`);
    assert.match(cost.ratelimit_policy, /"rate";q=60/);
  });

  test('minute 2: the console shows the call as it goes through; revoked, the same call is 401', async () => {
    const { context, page, trouble } = await visit(browser);
    await page.goto(printed(/console\?once=/).match(/http\S+/)[0]);
    console_ = await context.cookies();
    await says(page, /Overview/, 'h1');

    // A call that is made while one looks appears by itself.
    const { token } = await call();
    await says(page, new RegExp(`token …${token.slice(-6)}`), '#live .node.client');
    const map = await page.textContent('#live .map');
    for (const word of ['hello-app', 'Gateway', 'Token service', 'asked:', 'JWT', 'Upstream', '200 in']) assert.ok(map.includes(word), `${word}: ${map}`);
    const steps = await page.locator('#live .steps-table tbody tr').evaluateAll((rows) => rows.map((row) => [...row.children].slice(0, 3).map((cell) => cell.textContent.trim())));
    assert.deepEqual(steps.map(([name]) => name), ['Route', 'Token', 'Plan', 'Rights', 'Upstream']);
    for (const [name, , took] of steps.slice(1)) assert.match(took, /^[\d.]+ (µs|ms)$/, name);
    assert.match(steps[1][1], new RegExp(`opaque …${token.slice(-6)} → JWT, the token service was asked`));
    assert.match(steps[2][1], /plan free, 1 unit; \d+ left at this moment; [\d,]+ left of the quota/);
    assert.match(steps[3][1], /scopes and claims are there; policy .+: permitted/);
    assert.ok(await page.locator('#live .last-list a').count() >= 2, 'the calls before are beside it');

    // With the same token again: nobody is asked.
    const again = await shell(`T=${token}\n${curl()} -D -`);
    assert.match(again, /^HTTP\/1.1 200/);
    await says(page, /not asked: known/, '#live .node.service');
    await screenshot(page, 'minutes-live-light-wide');

    await page.click('#live a[href$="/revoke"]');
    await says(page, /Every access token that was issued under this grant stops at once/);
    assert.match(await page.textContent('main'), /hello-app/);
    await screenshot(page, 'minutes-revoke-light-wide');
    await page.click('#revoke-grant');
    await says(page, /Revoked: 1 grant/, '#revoked');

    const refused = await until('the same call is refused', async () => {
      const answer = await shell(`T=${token}\n${curl()} -D -`);
      return /^HTTP\/1.1 401/.test(answer) && answer;
    }, { within: 2_000, every: 5 });
    assert.match(refused, /content-type: application\/problem\+json/i);
    const problem = JSON.parse(refused.slice(refused.indexOf('{')));
    assert.match(problem.detail, /It has been revoked; get a new one/);
    assert.match(problem.type, /\/invalid_token$/);

    await page.goto(at(2, '/console'));
    await says(page, /revoked/, '#live .steps-table');
    await says(page, /The access token has been revoked/, '#live');
    await screenshot(page, 'minutes-revoked-light-wide');
    await page.goto(at(2, '/console/audit'));
    await says(page, /application\.tokens_revoked/);
    const audit = await shell('cardea audit');
    assert.match(audit, /grant\.revoked/);
    // The application itself goes on.
    assert.match((await call()).text, /upstream_received/);
    assert.deepEqual(quiet(trouble), []);
    await context.close();
  });

  test('the map is for everybody: every look, without JavaScript, by keyboard', async () => {
    const findings = [];
    for (const look of [...looks, { name: 'no-js', javaScriptEnabled: false, viewport: { width: 1280, height: 800 } }]) {
      const { context, page, trouble } = await visit(browser, look);
      await context.addCookies(console_);
      for (const [name, to] of [['live', '/console'], ['call', null], ['revoke', null]]) {
        if (to) await page.goto(at(2, to));
        if (name === 'call') await page.goto(at(2, await page.locator('#live .last-list a', { hasText: '200' }).first().getAttribute('href')));
        if (name === 'revoke') await page.goto(`${page.url()}/revoke`);
        await says(page, name === 'revoke' ? /Everything that hello-app holds/ : /→ JWT|revoked/);
        await screenshot(page, `minutes-${name}-${look.name}`);
        if (look.javaScriptEnabled !== false) findings.push(...(await accessibility(page, look)).map((one) => `${name} ${look.name}: ${one}`));
        if (await overflows(page)) findings.push(`${name} ${look.name}: scrolls sideways`);
      }
      findings.push(...quiet(trouble));
      await context.close();
    }
    assert.deepEqual(findings, []);
  });

  test('Ctrl-K goes to pages, APIs, applications, organisations and calls, by keyboard alone', async () => {
    const { context, page, trouble } = await visit(browser);
    await context.addCookies(console_);
    await page.goto(at(2, '/console'));
    const request = (await page.locator('#live .last-list a').first().getAttribute('href')).split('/').pop();
    const input = page.locator('#palette-input');
    const find = async (text, kind) => {
      await page.keyboard.press('Control+k');
      await input.waitFor();
      assert.equal(await page.evaluate(() => document.activeElement.id), 'palette-input');
      await page.keyboard.type(text);
      const option = page.locator('#palette-list [role=option]', { hasText: kind }).first();
      await option.waitFor();
      for (let steps = 0; steps < 20 && await option.getAttribute('aria-selected') !== 'true'; steps += 1) await page.keyboard.press('ArrowDown');
      assert.equal(await input.getAttribute('aria-activedescendant'), await option.getAttribute('id'));
      assert.equal(await input.getAttribute('aria-expanded'), 'true');
    };

    await find('gate', 'Page');
    await page.keyboard.press('Enter');
    await page.waitForURL(at(2, '/console/gateways'));
    await find('echo', 'API');
    await page.keyboard.press('Enter');
    await page.waitForURL(at(2, '/console/apis/echo'));
    await find('hello', 'Application');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/applications\/[0-9a-f]+$/);
    await page.goto(at(2, '/console'));
    await find(request, 'Call');
    await page.keyboard.press('Enter');
    await page.waitForURL(at(2, `/console/calls/${request}`));

    await page.click('#palette-open');
    await input.waitFor();
    await page.keyboard.type('nothing is called like this');
    await says(page, /Nothing is called like that/, '#palette-said');
    assert.equal(await input.getAttribute('aria-activedescendant'), null);
    await page.keyboard.press('Escape');
    await input.waitFor({ state: 'hidden' });
    assert.equal(await page.evaluate(() => document.activeElement.id), 'palette-open', 'one is where one was');
    assert.deepEqual(trouble, []);
    await context.close();

    const findings = [];
    for (const look of looks) {
      const seen = await visit(browser, look);
      await seen.context.addCookies(console_);
      await seen.page.goto(at(2, '/console/plans'));
      await seen.page.keyboard.press('Control+k');
      await seen.page.keyboard.type('e');
      await says(seen.page, /results?$/, '#palette-said');
      await screenshot(seen.page, `minutes-palette-${look.name}`);
      findings.push(...(await accessibility(seen.page, look)).map((one) => `${look.name}: ${one}`));
      if (await overflows(seen.page)) findings.push(`${look.name}: scrolls sideways`);
      await seen.context.close();
    }
    assert.deepEqual(findings, []);
  });

  test('minute 3: a signed-up consumer has a 200 within 60 s and 4 clicks', async () => {
    const password = readFileSync(path.join(folder, '.cardea/secrets/dana.password'), 'utf8').trim();
    const { context, page, trouble } = await visit(browser);
    let clicks = 0;
    const click = async (where) => { clicks += 1; await page.click(where); };

    await page.goto(at(2, '/login?return_to=/'));
    const began = performance.now();
    await page.fill('input[name=username]', 'dana');
    await page.fill('input[name=password]', password);
    await click('#sign-in');
    await page.waitForURL(at(2, '/'));
    await click('a[href="/apis/echo"]');
    await click('main table a[href^="/apis/echo/operations/"]');
    await click('#try-form button');
    await page.waitForSelector('#try-answer:not([hidden])', { timeout: 15_000 });
    const took = performance.now() - began;

    assert.match(await page.textContent('#try-status'), /^200/, await page.textContent('#try-text'));
    assert.ok(clicks <= 4, `${clicks} clicks`);
    assert.ok(took <= 60_000, `${took} ms`);
    assert.deepEqual(trouble, [], 'the console of the browser is clean');
    await context.close();
  });

  test("minute 4: one's own API, from its document to the portal", async () => {
    writeFileSync(path.join(folder, 'openapi.json'), JSON.stringify(openapi));

    const out = await shell(`cardea import ./openapi.json --upstream ${upstream.url}`);

    assert.match(out, /^parcels {2}Parcels 1\.2\.0 · revision 1, published/);
    assert.match(out, /lint: 0 left out, \d+ warnings, \d+ notes/);
    assert.match(out, /GET +\/parcels\/parcels\/\{id\} +readParcel +a token parcels\.read/);
    assert.match(out, /GET +\/parcels\/state +state +nothing/);
    assert.match(out, /Scopes +parcels\.read parcels\.send/);
    assert.match(out, /Check +GET .* without a token: 401 token_missing, as it should be/);
    assert.equal(upstream.seen.length, 0, 'nothing came through');
    const portal = out.match(/Portal +(http\S+)/)[1];
    const { context, page, trouble } = await visit(browser);
    await context.addCookies(console_);
    await page.goto(portal);
    await says(page, /Where parcels are/);
    await page.click('main table a[href$="/operations/readParcel"]');
    await says(page, /parcels\.read/);
    assert.deepEqual(trouble, []);
    await context.close();
    assert.equal((await fetch(at(0, '/parcels/parcels/7'))).status, 401);
    assert.equal((await fetch(at(0, '/parcels/state'))).status, 200);
    assert.deepEqual(upstream.seen.map((one) => one.target), ['/state']);
  });

  test('minute 5: one file for development and production; what production lacks is said', async () => {
    await shell('cardea export > all.yaml 2> told.txt');
    const yaml = readFileSync(path.join(folder, 'all.yaml'), 'utf8');
    assert.match(readFileSync(path.join(folder, 'told.txt'), 'utf8'), /left out.*Issuer main/, 'each server has its own in its files');
    for (const kind of ['Api', 'Plan', 'Client', 'Scope']) assert.match(yaml, new RegExp(`^kind: ${kind}$`, 'm'));
    assert.ok(!/cc?s_[\w-]{20,}/.test(yaml), 'no secret is in it');
    const other = await startDev();
    try {
      const to = `--server ${other.ops} --admin-token ${other.admin_token}`;

      await shell(`cardea apply -f all.yaml ${to}`);

      const second = JSON.parse(await shell(`cardea apply -f all.yaml ${to} --json`));
      const steps = Array.isArray(second) ? second : second.changes ?? second.steps ?? [];
      assert.ok(steps.every((step) => ['none', 'unchanged', 'same', 'keep'].includes(step.change)), JSON.stringify(steps.filter((step) => !['none', 'unchanged', 'same', 'keep'].includes(step.change))));
      await until('the other gateway has it', async () => (await fetch(`${other.gateway}/parcels/parcels/7`)).status === 401, { within: 5_000 });
      assert.equal((await fetch(`${other.gateway}/parcels/state`)).status, 200);
    } finally {
      await other.stop();
    }
    const doctor = spawnSync(process.env.CARDEA_BIN, ['doctor'], { cwd: folder, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } });
    assert.notEqual(doctor.status, 0);
    assert.match(doctor.stdout, /FAULT.*there is no cardea\.yaml/s);
    assert.match(doctor.stdout, /plain HTTP/);
  });
});
