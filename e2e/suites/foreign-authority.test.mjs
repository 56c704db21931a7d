// An authority that is not ours (npm `oidc-provider`) behind our gateway: JSON (RFC 7662) and signed (RFC 9701) answers.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { secret, startForeign } from '../lib/foreign.mjs';
import { startGateway } from '../lib/gateway.mjs';
import { bearerOf, startUpstream } from '../lib/upstream.mjs';

const audience = 'https://orders.internal';

describe('oidc-provider as foreign authority', { timeout: 120_000 }, () => {
  const none = { redirect_uris: [], response_types: [] };
  const machine = { client_id: 'machine', client_secret: secret() };
  const caller = { client_id: 'edge', client_secret: secret() };
  let authority;
  let upstream;
  let gateway;
  let asked = 0;

  before(async () => {
    authority = await startForeign({
      audience,
      clients: [{ ...machine, ...none, grant_types: ['client_credentials'] }, { ...caller, ...none, grant_types: [] }],
      seen: (request) => { if (request.url.startsWith('/token/introspection')) asked += 1; },
    });
    upstream = await startUpstream();
    const issuer = (name, form) => `kind: Issuer
name: ${name}
spec: { issuer: "${authority.issuer}", introspection: { as: edge, secret: "file:edge.secret", form: ${form} } }
`;
    const route = (name, scope, where = name) => `kind: Route
name: ${where}
spec: { match: { path: "/${where}/{rest...}" }, service: orders, auth: { issuer: ${name}, scopes: [${scope}] } }
`;
    gateway = await startGateway({
      secrets: { 'edge.secret': caller.client_secret },
      resources: [
        issuer('json', 'plain'), issuer('signed', 'rfc9701'),
        `kind: Upstream\nname: orders\nspec: { endpoints: ["http://127.0.0.1:${upstream.port}"] }\n`,
        `kind: Service\nname: orders\nspec: { upstream: orders, audience: "${audience}" }\n`,
        route('json', 'echo.read'), route('signed', 'echo.read'), route('json', 'echo.write', 'json-write'), route('signed', 'echo.write', 'signed-write'),
      ].join('---\n'),
    });
  });
  after(async () => {
    await gateway?.stop();
    await upstream?.stop();
    await authority?.stop();
  });

  for (const form of ['json', 'signed']) {
    test(`${form}: a token opens the API, and stays at the gateway`, async () => {
      const token = await machineToken();

      const answer = await gateway.call(`/${form}/1`, token);

      assert.equal(answer.status, 200, await answer.text());
      const request = upstream.seen.at(-1);
      assert.ok(!JSON.stringify(request).includes(token));
      const seen = bearerOf(request);
      if (seen) assert.ok([seen.claims.aud].flat().includes(audience));
    });

    test(`${form}: this authority says \`no-store\`, and so is asked each time`, async () => {
      const token = await machineToken();
      await gateway.call(`/${form}/1`, token);
      const before = asked;

      const answer = await gateway.call(`/${form}/1`, token);

      assert.equal(answer.status, 200);
      assert.equal(asked, before + 1);
    });

    test(`${form}: a scope that is missing is 403, and says which`, async () => {
      const answer = await gateway.call(`/${form}-write/1`, await machineToken());

      assert.equal(answer.status, 403);
      assert.match(answer.headers.get('www-authenticate'), /error="insufficient_scope"/);
      assert.match(answer.headers.get('www-authenticate'), /scope="echo\.write"/);
    });

    test(`${form}: a revoked token is 401`, async () => {
      const token = await machineToken();
      await post('/token/revocation', { token });

      const answer = await gateway.call(`/${form}/1`, token);

      assert.equal(answer.status, 401);
      assert.match(answer.headers.get('www-authenticate'), /error="invalid_token"/);
    });

    test(`${form}: no token, and a made-up one, are 401`, async () => {
      const before = upstream.seen.length;

      const answers = await Promise.all([gateway.call(`/${form}/1`), gateway.call(`/${form}/1`, 'made-up')]);

      assert.deepEqual(answers.map((answer) => answer.status), [401, 401]);
      assert.equal(upstream.seen.length, before);
    });
  }

  async function post(where, form) {
    const answer = await fetch(`${authority.issuer}${where}`, {
      method: 'POST', headers: { authorization: `Basic ${btoa(`${machine.client_id}:${machine.client_secret}`)}` }, body: new URLSearchParams(form),
    });
    assert.ok(answer.ok, `${where}: ${answer.status}`);
    return answer.text();
  }

  async function machineToken() {
    return JSON.parse(await post('/token', { grant_type: 'client_credentials', scope: 'echo.read', resource: audience })).access_token;
  }
});
