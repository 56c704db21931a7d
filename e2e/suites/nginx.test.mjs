// A gateway that is not ours: Debian's nginx exchanges the opaque token for the JWT at our introspection endpoint.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readFileSync } from 'node:fs';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { startNginx } from '../lib/debian.mjs';
import { startProduct } from '../lib/product.mjs';
import { bearerOf, startUpstream } from '../lib/upstream.mjs';

const script = readFileSync(new URL('../lib/phantom.js', import.meta.url), 'utf8');

describe('nginx as foreign gateway', { timeout: 120_000 }, () => {
  let product;
  let metadata;
  let upstream;
  let nginx;

  before(async () => {
    product = await startProduct();
    metadata = await product.discover();
    upstream = await startUpstream();
    const basic = btoa(`${product.introspection.client_id}:${product.introspection.client_secret}`);
    nginx = await startNginx({
      modules: ['ngx_http_js_module'],
      files: { 'phantom.js': script },
      http: (port, folder) => `
  js_import phantom from ${folder}/phantom.js;
  proxy_cache_path ${folder}/cache keys_zone=tokens:1m;
  server {
    listen 127.0.0.1:${port};
    location = /ready { return 204; }
    location / {
      auth_request /_phantom;
      auth_request_set $jwt $sent_http_phantom_token;
      proxy_set_header Authorization "Bearer $jwt";
      proxy_pass ${upstream.url.replace('localhost', '127.0.0.1')};
    }
    location = /_phantom { internal; js_content phantom.exchange; }
    location = /_introspect {
      internal;
      proxy_method POST;
      proxy_set_header Authorization "Basic ${basic}";
      proxy_set_header Content-Type application/x-www-form-urlencoded;
      proxy_set_header Accept application/jwt;
      proxy_set_body "token=$arg_token";
      proxy_cache tokens;
      proxy_cache_methods POST GET HEAD;
      proxy_cache_key $arg_token;
      proxy_pass ${metadata.introspection_endpoint.replace('localhost', '127.0.0.1')};
    }
  }`,
    });
  });
  after(async () => {
    await nginx?.stop();
    await upstream?.stop();
    await product?.stop();
  });

  const call = (token) => fetch(`${nginx.url}/orders/1`, { headers: token ? { authorization: `Bearer ${token}` } : {} });

  test('the upstream sees a JWT that verifies, and never the opaque token', async () => {
    const token = await machineToken();

    const answer = await call(token);

    assert.equal(answer.status, 200, await answer.text());
    const request = upstream.seen.at(-1);
    const { payload, protectedHeader } = await jwtVerify(bearerOf(request).token, createRemoteJWKSet(new URL(metadata.jwks_uri)), { issuer: product.issuer });
    assert.equal(protectedHeader.typ, 'at+jwt');
    assert.ok(payload.scope.split(' ').includes(product.sample.scope));
    assert.ok(!JSON.stringify(request).includes(token));
  });

  test('the second call is answered from the cache with the same JWT', async () => {
    const token = await machineToken();

    await call(token);
    await call(token);

    const [one, two] = upstream.seen.slice(-2).map((request) => bearerOf(request).token);
    assert.equal(one, two);
  });

  test('without a token, and with junk, nothing reaches the upstream', async () => {
    const before = upstream.seen.length;

    const answers = await Promise.all([call(), call('junk'), call(`${await machineToken()}x`)]);

    assert.deepEqual(answers.map((answer) => answer.status), [401, 401, 401]);
    assert.equal(upstream.seen.length, before);
  });

  async function machineToken() {
    const answer = await fetch(metadata.token_endpoint, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${product.sample.client_id}:${product.sample.client_secret}`)}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope: product.sample.scope }),
    });
    return (await answer.json()).access_token;
  }
});
