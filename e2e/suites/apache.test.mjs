// Apache's mod_auth_openidc: as relying party for people, and as resource server by introspection.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import { Browser, authorize, logOut } from '../lib/browser.mjs';
import { startApache } from '../lib/debian.mjs';
import { startProduct } from '../lib/product.mjs';
import { startTls } from '../lib/upstream.mjs';

describe('Apache mod_auth_openidc', { timeout: 120_000 }, () => {
  let product;
  let apache;
  let server;
  let secured;

  before(async () => {
    product = await startProduct();
    const introspection = new URL((await product.discover()).introspection_endpoint);
    secured = await startTls(introspection.port);
    apache = await startApache({
      modules: ['auth_openidc'],
      config: (url, folder) => {
        for (const place of ['secure', 'api']) {
          mkdirSync(path.join(folder, 'htdocs', place));
          writeFileSync(path.join(folder, 'htdocs', place, 'index.txt'), `the ${place} page`);
        }
        writeFileSync(path.join(folder, 'htdocs/ready.txt'), 'ready');
        writeFileSync(path.join(folder, 'htdocs/bye.txt'), 'bye');
        return `Include ${folder}/openidc.conf\n# ${url}`;
      },
      files: { 'openidc.conf': '' },
    });
    const web = await product.client('apache', {
      redirectUris: [`${apache.url}/secure/callback`], logoutUris: [`${apache.url}/bye.txt`], grants: ['authorization_code'], scopes: ['openid', 'profile'],
    });
    writeFileSync(path.join(apache.folder, 'openidc.conf'), `
OIDCProviderMetadataURL ${product.issuer}/.well-known/openid-configuration
OIDCClientID ${web.client_id}
OIDCClientSecret ${web.client_secret}
OIDCProviderTokenEndpointAuth client_secret_basic
OIDCRedirectURI ${apache.url}/secure/callback
OIDCCryptoPassphrase ${randomBytes(16).toString('hex')}
OIDCScope "openid profile"
OIDCPKCEMethod S256
OIDCRemoteUserClaim preferred_username
OIDCOAuthIntrospectionEndpoint ${secured.url}${introspection.pathname}
OIDCOAuthSSLValidateServer Off
OIDCOAuthIntrospectionEndpointAuth client_secret_basic
OIDCOAuthClientID ${product.introspection.client_id}
OIDCOAuthClientSecret ${product.introspection.client_secret}
OIDCOAuthRemoteUserClaim client_id
<Location /secure>
  AuthType openid-connect
  Require valid-user
  Header always set X-Seen-User "expr=%{REMOTE_USER}"
</Location>
<Location /api>
  AuthType oauth20
  Require claim "scope~(^|\\s)${product.sample.scope.replaceAll('.', '\\.')}(\\s|$)"
  Header always set X-Seen-User "expr=%{REMOTE_USER}"
</Location>
`);
    server = await apache.start();
  });
  after(async () => {
    await server?.stop();
    secured?.stop();
    await product?.stop();
  });

  const logIn = (browser) => authorize(browser, `${apache.url}/secure/index.txt`, `${apache.url}/secure/callback`, product.user);

  test('a person logs in and Apache knows their name', async () => {
    const browser = new Browser();
    const back = await logIn(browser);

    const page = await browser.open(back.url);

    assert.equal(page.status, 200, page.text);
    assert.equal(page.text, 'the secure page');
    assert.equal(page.headers.get('x-seen-user'), product.user.username);
  });

  test('logging out through Apache ends both sessions', async () => {
    const browser = new Browser();
    await browser.open((await logIn(browser)).url);
    const bye = `${apache.url}/bye.txt`;

    await logOut(browser, `${apache.url}/secure/callback?logout=${encodeURIComponent(bye)}`, bye);

    const again = await browser.open(`${apache.url}/secure/index.txt`, { stopAt: `${apache.url}/secure/callback` });
    assert.ok(again.forms?.some((form) => form.fields.some((field) => field.name === 'password')), 'the password is asked for again');
  });

  test('Apache as resource server: our introspection tells it the scope', async () => {
    const token = await machineToken();

    const answer = await fetch(`${apache.url}/api/index.txt`, { headers: { authorization: `Bearer ${token}` } });

    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('x-seen-user'), product.sample.client_id);
  });

  test('Apache as resource server: junk is refused', async () => {
    const answer = await fetch(`${apache.url}/api/index.txt`, { headers: { authorization: 'Bearer junk' } });

    assert.equal(answer.status, 401);
  });

  async function machineToken() {
    const { token_endpoint: endpoint } = await product.discover();
    const answer = await fetch(endpoint, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${product.sample.client_id}:${product.sample.client_secret}`)}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope: product.sample.scope }),
    });
    return (await answer.json()).access_token;
  }
});
