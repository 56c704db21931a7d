// Debian's Chromium, by playwright-core: pages as a person sees them, and what axe says of them.
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const out = fileURLToPath(new URL('../out', import.meta.url));

export const looks = [
  { name: 'light-wide', colorScheme: 'light', viewport: { width: 1280, height: 800 } },
  { name: 'dark-wide', colorScheme: 'dark', viewport: { width: 1280, height: 800 } },
  { name: 'light-320', colorScheme: 'light', viewport: { width: 320, height: 640 } },
  { name: 'dark-320', colorScheme: 'dark', viewport: { width: 320, height: 640 } },
  { name: 'forced-colors', colorScheme: 'dark', forcedColors: 'active', viewport: { width: 1280, height: 800 } },
];

export function launch() {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    headless: true,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync', '--disable-dev-shm-usage'],
  });
}

/** A fresh profile and one page in it, which keeps what went wrong: `trouble`. */
export async function visit(browser, { javaScriptEnabled = true, ...look } = {}) {
  const { name, ...settings } = look;
  const context = await browser.newContext({ javaScriptEnabled, ...settings });
  context.setDefaultTimeout(8_000);
  const page = await context.newPage();
  const trouble = [];
  const requests = [];
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) trouble.push(`console: ${message.text()}`); });
  page.on('pageerror', (error) => trouble.push(`script: ${error}`));
  page.on('request', (request) => requests.push(request));
  return { context, page, trouble, requests, look: name ?? 'plain' };
}

/**
 * What axe finds on the page: one line each; none is wanted. With forced colours the system chooses
 * them, and what axe computes of contrast is not what is shown.
 */
export async function accessibility(page, { forcedColors } = {}) {
  await page.evaluate(axe);
  const rules = { 'color-contrast': { enabled: forcedColors !== 'active' } };
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const { violations } = await page.evaluate((options) => globalThis.axe.run(document, options), { runOnly: tags, rules });
  return violations.flatMap((violation) => violation.nodes.map((node) => `${violation.id}: ${node.html} ${node.any.map((one) => one.message).join('; ')}`));
}

/** Waits until the page says so: what a click brings is not there at once. */
export function says(page, pattern, where = 'main') {
  return page.locator(where).filter({ hasText: pattern }).first().waitFor();
}

/** Whether the page must be scrolled sideways, which nobody wants at 320 px. */
export function overflows(page) {
  return page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
}

export async function screenshot(page, name) {
  mkdirSync(out, { recursive: true });
  await page.screenshot({ path: path.join(out, `${name}.png`), fullPage: true });
}
