// An authority that answers wrongly, slowly, or not at all: nothing is sent on, and the status says whose fault it is.
import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { SignJWT, UnsecuredJWT, exportJWK, generateKeyPair } from 'jose';
import { startGateway } from '../lib/gateway.mjs';
import { until } from '../lib/process.mjs';
import { bearerOf, startUpstream } from '../lib/upstream.mjs';

const audience = 'https://orders.internal';

describe('a hostile authority', { timeout: 120_000 }, () => {
  let authority;
  let upstream;
  let gateway;

  before(async () => {
    [authority, upstream] = await Promise.all([startScripted(), startUpstream()]);
    gateway = await startGateway({
      secrets: { 'edge.secret': 'not guessed by anybody' },
      resources: `kind: Issuer
name: main
spec: { issuer: "${authority.issuer}", introspection: { as: edge, secret: "file:edge.secret", timeout: 500ms } }
---
kind: Upstream
name: orders
spec: { endpoints: ["http://127.0.0.1:${upstream.port}"] }
---
kind: Service
name: orders
spec: { upstream: orders, audience: "${audience}" }
---
kind: Route
name: orders
spec: { match: { path: "/orders/{id}" }, service: orders, auth: { issuer: main, scopes: [orders_read] } }
`,
    });
  });
  after(async () => {
    await gateway?.stop();
    await upstream?.stop();
    authority?.stop();
  });

  async function call(token) {
    const before = upstream.seen.length;
    const answer = await gateway.call('/orders/1', token);
    return { status: answer.status, text: await answer.text(), headers: answer.headers, sent: upstream.seen.slice(before) };
  }

  test('an honest answer opens the API', async () => {
    const answer = await call('good');

    assert.equal(answer.status, 200, answer.text);
    assert.equal(bearerOf(answer.sent[0]).claims.sub, 'somebody');
  });

  test('an honest answer in chunks, too', async () => {
    assert.equal((await call('chunked')).status, 200);
  });

  for (const what of ['inactive', 'inactive-json', 'inactive-as-jwt', 'inactive-as-text']) {
    test(`not active (${what}) is 401`, async () => {
      const answer = await call(what);

      assert.equal(answer.status, 401, answer.text);
      assert.match(answer.headers.get('www-authenticate'), /error="invalid_token"/);
      assert.equal(answer.sent.length, 0);
    });
  }

  const faults = [
    'wrong-issuer', 'wrong-audience', 'wrong-type', 'refresh-token', 'unsigned', 'hmac-with-public-key', 'other-key', 'no-expiry', 'no-issuer',
    'cut-off', 'active-without-jwt', 'one-megabyte', 'server-error', 'says-unauthorized', 'redirect', 'reset', 'silent', 'half-an-answer', 'junk',
  ];
  for (const what of faults) {
    test(`${what} is an outage, not a verdict on the token`, async () => {
      const begin = performance.now();

      const answer = await call(what);

      assert.ok(answer.status >= 500 && answer.status <= 504, `${answer.status} ${answer.text}`);
      assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
      assert.equal(answer.sent.length, 0);
      assert.ok(performance.now() - begin < 5_000, 'it does not hang');
      assert.ok(!answer.text.includes('eyJ'), 'nothing of the answer is shown');
    });
  }

  test('a JWT that has expired opens nothing', async () => {
    const answer = await call('expired');

    assert.ok([401, 502, 503].includes(answer.status), String(answer.status));
    assert.equal(answer.sent.length, 0);
  });

  test('a scope that the JWT lacks is 403', async () => {
    assert.equal((await call('no-scope')).status, 403);
  });

  test('`no-store` is respected', async () => {
    const before = authority.asked.filter((token) => token === 'no-store').length;

    await call('no-store');
    await call('no-store');

    assert.equal(authority.asked.filter((token) => token === 'no-store').length, before + 2);
  });

  test('what may be kept is asked for once', async () => {
    const token = 'good-and-kept';

    await call(token);
    await call(token);

    assert.equal(authority.asked.filter((one) => one === token).length, 1);
  });

  test('many calls with a new token ask once', async () => {
    const token = 'good-and-slow';

    const answers = await Promise.all(Array.from({ length: 20 }, () => call(token)));

    assert.ok(answers.every((answer) => answer.status === 200));
    assert.equal(authority.asked.filter((one) => one === token).length, 1);
  });

  test('a token is sent to the authority exactly as it came', async () => {
    // Every character of RFC 6750 §2.1.
    const token = 'good-._~+/AZaz09==';

    const answer = await call(token);

    assert.equal(answer.status, 200, answer.text);
    assert.ok(authority.asked.includes(token));
  });

  test('a token with other characters is refused without asking', async () => {
    const before = authority.asked.length;

    const answers = [];
    for (const token of ['good&token=other', 'good%20', 'good,x']) answers.push(await call(token));

    assert.deepEqual(answers.map((answer) => answer.status), answers.map(() => answers[0].status));
    assert.ok([400, 401].includes(answers[0].status));
    assert.equal(authority.asked.length, before);
  });

  test('a dead authority is an outage, and what is known still works', async () => {
    const kept = 'good-until-death';
    assert.equal((await call(kept)).status, 200);
    authority.stop();

    const answer = await until('an outage', async () => { const one = await call('good-later'); return one.status !== 200 && one; });

    assert.ok([502, 503, 504].includes(answer.status), String(answer.status));
    assert.equal(answer.sent.length, 0);
    assert.equal((await call(kept)).status, 200);
  });
});

async function startScripted() {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const other = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' };
  const asked = [];
  const server = http.createServer(async (request, response) => {
    const json = (body) => { response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body)); };
    if (request.url.startsWith('/.well-known/')) {
      return json({ issuer, introspection_endpoint: `${issuer}/introspect`, jwks_uri: `${issuer}/jwks`, authorization_endpoint: `${issuer}/a`, token_endpoint: `${issuer}/t`, response_types_supported: ['code'] });
    }
    if (request.url === '/jwks') return json({ keys: [jwk] });
    if (request.url !== '/introspect') return response.writeHead(404).end();
    let body = '';
    for await (const part of request) body += part;
    const token = new URLSearchParams(body).get('token');
    asked.push(token);
    return answer(token, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://localhost:${server.address().port}`;

  const claims = (more = {}) => ({ iss: issuer, aud: audience, sub: 'somebody', client_id: 'app', scope: 'orders_read', jti: 'x', ...more });
  const now = () => Math.floor(Date.now() / 1000);
  const sign = (payload = claims(), { key = privateKey, typ = 'at+jwt', expires = now() + 60 } = {}) => {
    const jwt = new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid: 'one', typ }).setIssuedAt();
    if (expires) jwt.setExpirationTime(expires);
    return jwt.sign(key);
  };

  async function answer(token, response) {
    const jwt = (text, headers = {}) => response.writeHead(200, { 'content-type': 'application/jwt', 'cache-control': 'max-age=60', 'content-length': Buffer.byteLength(text), ...headers }).end(text);
    const as = (type, text) => response.writeHead(200, { 'content-type': type }).end(text);
    switch (token) {
      case 'inactive': return response.writeHead(204).end();
      case 'inactive-json': return as('application/json', '{"active":false}');
      case 'inactive-as-jwt': return as('application/jwt', '{"active":false}');
      case 'inactive-as-text': return as('text/plain', '{"active":false}');
      case 'wrong-issuer': return jwt(await sign(claims({ iss: 'https://elsewhere.example' })));
      case 'no-issuer': return jwt(await sign(claims({ iss: undefined })));
      case 'wrong-audience': return jwt(await sign(claims({ aud: 'https://payments.internal' })));
      case 'wrong-type': return jwt(await sign(claims(), { typ: 'JWT' }));
      case 'refresh-token': return jwt(await sign(claims(), { typ: 'refresh+jwt' }));
      case 'other-key': return jwt(await sign(claims(), { key: other.privateKey }));
      case 'expired': return jwt(await sign(claims(), { expires: now() - 3600 }));
      case 'no-expiry': return jwt(await sign(claims(), { expires: 0 }));
      case 'unsigned': return jwt(new UnsecuredJWT(claims()).setExpirationTime(now() + 60).encode());
      case 'hmac-with-public-key':
        return jwt(await new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', kid: 'one', typ: 'at+jwt' }).setExpirationTime(now() + 60).sign(Buffer.from(jwk.x, 'base64url')));
      case 'no-scope': return jwt(await sign(claims({ scope: 'other' })));
      case 'cut-off': return jwt((await sign()).slice(0, -20));
      case 'active-without-jwt': return as('application/json', JSON.stringify({ active: true, ...claims(), exp: now() + 60 }));
      case 'one-megabyte': return jwt('x'.repeat(1 << 20));
      case 'server-error': return response.writeHead(500).end('oh');
      case 'says-unauthorized': return response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end('{"error":"invalid_client"}');
      case 'redirect': return response.writeHead(302, { location: `${issuer}/introspect-elsewhere` }).end();
      case 'reset': return response.socket.destroy();
      case 'silent': return undefined;
      case 'half-an-answer': {
        const text = await sign();
        response.writeHead(200, { 'content-type': 'application/jwt', 'content-length': text.length });
        return response.write(text.slice(0, 40), () => response.socket.destroy());
      }
      case 'junk': return as('application/jwt', '\u0000\u0001 not a JWT');
      case 'no-store': return jwt(await sign(), { 'cache-control': 'no-store' });
      case 'chunked': {
        const text = await sign();
        response.writeHead(200, { 'content-type': 'application/jwt' });
        response.write(text.slice(0, 10));
        response.write(text.slice(10, 100));
        return response.end(text.slice(100));
      }
      case 'good-and-slow':
        return setTimeout(async () => jwt(await sign()), 100);
      default: return jwt(await sign());
    }
  }

  return { issuer, asked, stop: () => { server.closeAllConnections(); server.close(); } };
}
