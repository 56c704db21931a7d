// The description of the management interface, fetched from the running product: two linters find nothing to say, and
// schemathesis, which makes requests of it that nobody thought of, finds no 5xx and no answer that it does not describe.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import * as client from 'openid-client';
import { Browser, authorize } from '../lib/browser.mjs';
import { run, temporaryFolder } from '../lib/process.mjs';
import { startDev } from '../lib/product.mjs';

const here = fileURLToPath(new URL('..', import.meta.url));
const program = (name) => path.join(here, 'node_modules', '.bin', name);
const redirectUri = 'http://127.0.0.1:9/callback';
const quiet = { REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' };

describe('the OpenAPI document', { timeout: 300_000 }, () => {
  let known;
  let product;
  let folder;
  let file;
  let document;

  const operator = (where, options = {}) => fetch(`${product.ops}/management/v1${where}`, {
    ...options, headers: { authorization: `Bearer ${product.admin_token}`, 'content-type': 'application/json' },
  }).then((answer) => answer.json());

  /** An access token of the sample's person, for the management interface. */
  async function developer() {
    const its = await product.client('e2e-developer', { redirectUris: [redirectUri], grants: ['authorization_code'], scopes: ['openid', 'management'] });
    const config = await client.discovery(new URL(product.issuer), its.client_id, undefined, client.ClientSecretBasic(its.client_secret), { execute: [client.allowInsecureRequests] });
    const verifier = client.randomPKCECodeVerifier();
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri, scope: 'openid management', resource: product.portal,
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    });
    const back = await authorize(new Browser(), url, redirectUri, product.user);
    const tokens = await client.authorizationCodeGrant(config, back.url, { pkceCodeVerifier: verifier }, { resource: product.portal });
    return tokens.access_token;
  }

  /** Things that are there, so that not every path leads to a 404; looked up before anything may delete them. */
  async function names() {
    const [application] = (await operator('/applications')).items;
    const [subscription] = (await operator('/subscriptions')).items;
    const { organisation } = application;
    return {
      'path.organisation': organisation, 'path.api': 'echo', 'path.plan': subscription.plan, 'path.application': application.id,
      'path.subscription': subscription.id, 'path.revision': '1',
    };
  }

  /** Requests made of the document, some as it says, some just not. What was found is in the error. */
  async function schemathesis(name, url, token, exclude = []) {
    const config = path.join(folder, `${name}.toml`);
    const parameters = Object.entries(known).map(([key, value]) => `${JSON.stringify(key)} = ${JSON.stringify(value)}`);
    writeFileSync(config, `[parameters]\n${parameters.join('\n')}\n`);
    await run(path.join(here, '.venv', 'bin', 'schemathesis'), [
      '--config-file', config, 'run', file, '--url', url, '-H', `Authorization: Bearer ${token}`,
      '--phases', 'coverage,fuzzing', '--max-examples', '6', '--seed', '1', '--workers', '1', '--continue-on-failure',
      '--no-shrink', '--generation-database', 'none', '--suppress-health-check', 'all', '--warnings', 'off',
      // What is well formed may still be refused for what it says.
      '--exclude-checks', 'positive_data_acceptance,use_after_free,ensure_resource_availability',
      ...exclude,
    ], { env: { COLUMNS: '200' } });
  }

  before(async () => {
    product = await startDev();
    folder = temporaryFolder('openapi');
    file = path.join(folder, 'openapi.json');
    const answer = await fetch(`${product.portal}/management/v1/openapi.json`);
    assert.equal(answer.status, 200);
    document = await answer.json();
    writeFileSync(file, JSON.stringify(document));
    known = await names();
  });
  after(() => product?.stop());

  test('an import a second time says what truly happened', async () => {
    const api = path.join(folder, 'things.json');
    writeFileSync(api, JSON.stringify({
      openapi: '3.1.0', info: { title: 'Things', version: '1' }, components: { securitySchemes: { oauth: { type: 'http', scheme: 'bearer' } } },
      paths: { '/things': { get: { operationId: 'listThings', security: [{ oauth: [] }], responses: { 200: { description: 'All' } } } } },
    }));
    const flags = ['import', api, '--upstream', 'http://127.0.0.1:1', '--audience', 'https://things.internal'];
    const first = await product.admin(...flags);
    const second = await product.admin(...flags);
    assert.ok(first.identity.includes('made resource server things'), JSON.stringify(first.identity));
    assert.deepEqual([second.changed, second.identity], [false, []]);
  });

  test('the code on an operation\'s page runs, in each language that is here', async () => {
    const page = await (await fetch(`${product.portal}/apis/echo/operations/echo`)).text();
    const plain = (html) => html.replace(/&#x([0-9a-f]+);/gi, (_, code) => String.fromCodePoint(parseInt(code, 16)))
      .replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
      .replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&');
    const code = Object.fromEntries([...page.matchAll(/<pre[^>]*aria-label="([^"]+)"[^>]*><code>([^]*?)<\/code>/g)].map(([, name, html]) => [plain(name), plain(html)]));
    const how = {
      curl: (text) => run('bash', ['-c', `${text} -s -w ' %{http_code}'`], { env }),
      JavaScript: (text) => run('node', ['--input-type=module', '-e', text], { env }),
      Python: (text) => run('python3', ['-c', text], { env }),
      PHP: (text) => run('php', ['-r', `${text.replace('<?php', '')} echo $http_response_header[0];`], { env }),
      Ruby: (text) => run('ruby', ['-e', text], { env }),
    };
    const needed = ['curl', 'JavaScript', 'Python'];
    const { client_id: id, client_secret: secret } = product.sample;
    const env = { CLIENT_ID: id, CLIENT_SECRET: secret };
    env.TOKEN = (await run('bash', ['-c', `${code.Shell}\nprintf %s "$TOKEN"`], { env })).trim();
    assert.match(env.TOKEN, /^cat_/, code.Shell);
    for (const [language, text] of Object.entries(code)) {
      const program = { JavaScript: 'node', Python: 'python3', PHP: 'php', Ruby: 'ruby', curl: 'curl' }[language];
      const there = program && await run('which', [program]).then(() => true, () => false);
      assert.ok(there || !needed.includes(language), `${language} is needed`);
      if (there) assert.match(await how[language](text), /\b200\b/, `${language}:\n${text}`);
    }
    assert.ok(needed.every((language) => code[language]), Object.keys(code).join());
  });

  test('redocly lint has nothing to say', async () => {
    // It warns of documents that name the writer's own machine, and here the product runs on it.
    const elsewhere = path.join(folder, 'elsewhere.json');
    writeFileSync(elsewhere, JSON.stringify({ ...document, servers: [{ url: 'https://portal.cardea.dev' }] }));
    const report = JSON.parse(await run(program('redocly'), ['lint', elsewhere, '--extends', 'recommended', '--format', 'json'], { cwd: folder, env: quiet }));
    assert.deepEqual(report.problems.map(({ ruleId, message, location }) => [ruleId, message, location?.[0]?.pointer]), []);
  });

  test('spectral has nothing to say', async () => {
    const rules = path.join(folder, 'rules.json');
    writeFileSync(rules, JSON.stringify({ extends: ['spectral:oas'] }));
    const said = await run(program('spectral'), ['lint', file, '--ruleset', rules, '--format', 'json', '--fail-severity', 'hint', '--quiet'], { cwd: folder });
    assert.deepEqual(JSON.parse(said || '[]'), []);
  });

  test('every answer has a schema that says something', () => {
    for (const [where, item] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        for (const [status, response] of Object.entries(operation.responses)) {
          for (const { schema } of Object.values(response.content ?? {})) {
            const says = schema.$ref || schema.properties || schema.items || schema.type === 'string';
            assert.ok(says, `${method} ${where} ${status}: ${JSON.stringify(schema)}`);
          }
          assert.ok(status === '204' || response.content, `${method} ${where} ${status} has no schema`);
        }
      }
    }
  });

  test('schemathesis with the token of a developer', async () => {
    await schemathesis('developer', product.portal, await developer());
  });

  test('schemathesis with the token of the operator', async () => {
    await schemathesis('operator', product.ops, product.admin_token);
  });
});
