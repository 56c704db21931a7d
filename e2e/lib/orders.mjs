// An API `orders` behind two gateways of ours, each a process; wires in between that can be heard and cut.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Browser, authorize } from './browser.mjs';
import { startGateway } from './gateway.mjs';
import { startProduct } from './product.mjs';
import { startUpstream, startWire } from './upstream.mjs';

const audience = 'https://orders.internal';
const redirectUri = 'http://127.0.0.1:9/callback';

export async function startOrders() {
  const open = [];
  const keep = async (promise) => { const one = await promise; open.push(one); return one; };
  const stop = async () => { for (const one of open.splice(0).reverse()) await one.stop(); };
  try {
    return await start(keep, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(keep, stop) {
  const product = await keep(startProduct());
  const metadata = await product.discover();
  await product.apply(`kind: ResourceServer
name: orders
spec: { audience: "${audience}" }
---
kind: Scope
name: orders_read
spec: { audience: "${audience}", description: See your orders }
---
kind: Client
name: edge
spec: { introspect: ["${audience}"], events: true }
---
kind: Client
name: orders-app
spec: { grantTypes: [client_credentials, authorization_code], scopes: [openid, orders_read], redirectUris: ["${redirectUri}"] }
`);
  const edge = await product.admin('client', 'secret', 'add', 'edge');
  const app = await product.admin('client', 'secret', 'add', 'orders-app');
  const upstream = await keep(startUpstream());
  const behind = await keep(startWire(upstream.port));
  // What the second gateway hears of revocations passes here, so that it can be cut.
  const feed = await keep(startWire(Number(new URL(product.issuer).port)));
  const events = new URL(metadata.events_endpoint ?? `${product.issuer}/events/poll`).pathname;
  const gateways = [];
  for (const [name, endpoint] of [['gateway-one', ''], ['gateway-two', `, endpoint: "${feed.url}${events}"`]]) {
    gateways.push(await keep(startGateway({
      name,
      secrets: { 'edge.secret': edge.client_secret },
      resources: `kind: Issuer
name: main
spec: { issuer: "${product.issuer}", introspection: { as: edge, secret: "file:edge.secret", revocations: { maxLag: 1s${endpoint} } } }
---
kind: Upstream
name: orders
spec: { endpoints: ["http://127.0.0.1:${behind.port}"] }
---
kind: Service
name: orders
spec: { upstream: orders, audience: "${audience}" }
---
kind: Route
name: orders
spec: { match: { path: "/orders/{id}" }, service: orders, auth: { issuer: main, scopes: [orders_read] } }
`,
    })));
  }

  const post = (endpoint, form) => fetch(endpoint, {
    method: 'POST', headers: { authorization: `Basic ${btoa(`${app.client_id}:${app.client_secret}`)}` }, body: new URLSearchParams(form),
  });
  const tokenBy = async (form) => {
    const answer = await (await post(metadata.token_endpoint, form)).json();
    assert.ok(answer.access_token, JSON.stringify(answer));
    return answer.access_token;
  };

  return {
    product, metadata, upstream, behind, feed, gateways, audience, keep, stop,

    machineToken: () => tokenBy({ grant_type: 'client_credentials', scope: 'orders_read' }),

    /** A token of the user, by a login in this browser. */
    async userToken(browser = new Browser()) {
      const verifier = randomBytes(32).toString('base64url');
      const url = new URL(metadata.authorization_endpoint);
      url.search = new URLSearchParams({
        client_id: app.client_id, redirect_uri: redirectUri, response_type: 'code', scope: 'openid orders_read',
        code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
      });
      const back = await authorize(browser, url, redirectUri, product.user);
      return tokenBy({ grant_type: 'authorization_code', code: back.url.searchParams.get('code'), redirect_uri: redirectUri, code_verifier: verifier });
    },

    async revoke(token) {
      assert.equal((await post(metadata.revocation_endpoint, { token })).status, 200);
    },
  };
}
