// What developers and operators do in portal and console, by Chromium.
import assert from 'node:assert/strict';
import { says } from './chromium.mjs';
import { until } from './process.mjs';

/** Signs a person in at whatever issuer the portal sends them to: its pages have `username`, `password`, `allow`. */
export async function signIn(page, portal, { username, password }, to = '/') {
  await page.goto(`${portal}/login?return_to=${encodeURIComponent(to)}`);
  await page.fill('input[name=username]', username);
  await page.fill('input[name=password]', password);
  await page.press('input[name=password]', 'Enter');
  const consent = page.locator('button[value=allow]');
  await Promise.race([page.waitForURL(`${portal}/**`), consent.waitFor()]);
  if (await consent.count()) await consent.click();
  await page.waitForURL(`${portal}${to}`);
}

/** A new application for this API, and its credentials, which are shown once. */
export async function makeApplication(page, portal, api, name, kind = 'service') {
  await page.goto(`${portal}/applications/new?api=${api}`);
  await page.fill('#name', name);
  await page.check(`#kind-${kind}`);
  await page.click('#application button.primary');
  await page.waitForURL(/\/applications\/[0-9a-f]+\?/);
  const id = new URL(page.url()).pathname.split('/').at(-1);
  await page.click('#show button');
  await page.locator('#client-secret').waitFor();
  const made = { id, clientId: await page.textContent('#client-id'), clientSecret: await page.textContent('#client-secret') };
  assert.ok(made.clientId && made.clientSecret);
  return made;
}

/** From the application's page to a plan that is in force. */
export async function subscribe(page, portal, api, plan, { id }) {
  await page.goto(`${portal}/apis/${api}?application=${id}`);
  await page.click(`#subscribe-${plan} button`);
  await page.waitForURL(/\/subscriptions\//);
  await says(page, /in force/);
}

/** The page of a call, once the ledger has it: its words. */
export async function callPage(page, url) {
  await until(`${url} is there`, async () => (await page.goto(url)).status() === 200, { within: 15_000, every: 100 });
  return (await page.innerText('main')).replace(/\s+/g, ' ');
}
