// On the wire: the opaque token is nowhere behind the gateway, the JWT nowhere before it, and nothing else slips through.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startOrders } from '../lib/orders.mjs';
import { bearerOf, startWire } from '../lib/upstream.mjs';

describe('the wire', { timeout: 120_000 }, () => {
  let orders;
  let gateways;
  let upstream;
  let front;

  before(async () => {
    orders = await startOrders();
    ({ gateways, upstream } = orders);
    front = await orders.keep(startWire(gateways[0].port));
  });
  after(() => orders?.stop());

  test('the opaque token stays in front, the JWT behind', async () => {
    const token = await orders.machineToken();

    const answer = await fetch(`${front.url}/orders/1`, { headers: { authorization: `Bearer ${token}` } });

    assert.equal(answer.status, 200, await answer.text());
    const jwt = bearerOf(upstream.seen.at(-1));
    assert.equal(jwt.header.typ, 'at+jwt');
    assert.deepEqual([jwt.claims.aud].flat(), [orders.audience]);
    assert.ok(front.text().includes(token), 'the wire in front was heard');
    assert.ok(orders.behind.text().includes(jwt.token), 'the wire behind was heard');
    assert.ok(!orders.behind.text().includes(token), 'the opaque token is not behind the gateway');
    assert.ok(!orders.behind.text().includes(token.split('_').at(-1)), 'nor a part of it');
    for (const part of jwt.token.split('.')) assert.ok(!front.text().includes(part), 'no part of the JWT is before the gateway');
  });

  test('identity headers from outside do not pass, in any spelling', async () => {
    const token = await orders.machineToken();

    const answer = await gateways[0].call('/orders/1', token, { 'x-forwarded-user': 'root', 'X_Forwarded_User': 'root', 'x-forwarded-for': '9.9.9.9' });

    assert.equal(answer.status, 200);
    const { headers } = upstream.seen.at(-1);
    assert.ok(!JSON.stringify(headers).includes('root'), JSON.stringify(headers));
    assert.ok(!(headers['x-forwarded-for'] ?? '').includes('9.9.9.9'));
  });

  test('a token in the query or under another scheme opens nothing', async () => {
    const token = await orders.machineToken();
    const before = upstream.seen.length;

    const answers = await Promise.all([
      gateways[0].call(`/orders/1?access_token=${token}`),
      gateways[0].call('/orders/1', undefined, { authorization: `Basic ${token}` }),
      gateways[0].call('/orders/1', undefined, { authorization: `Basic Bearer ${token}` }),
      gateways[0].call('/orders/1', undefined, { authorization: `Bearer ${token} ${token}` }),
    ]);

    assert.ok(answers.every((answer) => [400, 401].includes(answer.status)), answers.map((answer) => answer.status).join());
    assert.equal(upstream.seen.length, before);
  });

  test('the scheme is read without regard to case', async () => {
    const token = await orders.machineToken();

    const answer = await gateways[0].call('/orders/1', undefined, { authorization: `bearer ${token}` });

    assert.equal(answer.status, 200);
  });

  test('a denial is a problem that a program can read', async () => {
    const answer = await gateways[0].call('/orders/1');

    assert.equal(answer.status, 401);
    assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
    const problem = await answer.json();
    assert.equal(problem.status, 401);
    assert.ok(problem.type && problem.title);
    assert.match(answer.headers.get('www-authenticate'), /^Bearer .*resource_metadata="http/);
    const where = /resource_metadata="([^"]+)"/.exec(answer.headers.get('www-authenticate'))[1];
    const described = await (await fetch(where)).json();
    assert.deepEqual(described.authorization_servers, [orders.product.issuer]);
  });
});
