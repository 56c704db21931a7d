// What is revoked at the authority is closed at every gateway: a token, a grant, a session, a client, a key;
// and where the news cannot arrive, what is kept is not used for long.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startOrders } from '../lib/orders.mjs';
import { until } from '../lib/process.mjs';
import { bearerOf } from '../lib/upstream.mjs';

// The aim is 100 ms from the acknowledgement; a busy test machine gets slack, a benchmark does not.
const soon = 1_000;

describe('revocation', { timeout: 120_000 }, () => {
  let orders;
  let admin;

  before(async () => {
    orders = await startOrders();
    admin = (...args) => orders.product.admin(...args);
  });
  after(() => orders?.stop());

  const call = (gateway, token) => gateway.call('/orders/1', token);

  async function usedAtBoth(token) {
    for (const gateway of orders.gateways) assert.equal((await call(gateway, token)).status, 200);
    return token;
  }

  const closed = (gateway, token, within = soon) => until(
    `${gateway.folder.split('-').at(-2)} denies`, async () => (await call(gateway, token)).status === 401, { within, every: 2 },
  );

  const closedAtBoth = (token) => Promise.all(orders.gateways.map((gateway) => closed(gateway, token)));

  test('a token', async () => {
    const token = await usedAtBoth(await orders.machineToken());
    const other = await usedAtBoth(await orders.machineToken());

    await orders.revoke(token);

    await closedAtBoth(token);
    for (const gateway of orders.gateways) assert.equal((await call(gateway, other)).status, 200, 'another token still works');
  });

  test('a grant', async () => {
    const token = await usedAtBoth(await orders.userToken());
    const { items } = await admin('user', 'grants', orders.product.user.username);
    const grant = items.find((one) => JSON.stringify(one).includes('orders-app'));

    await admin('grant', 'revoke', grant.id);

    await closedAtBoth(token);
  });

  test('the sessions of a user', async () => {
    const token = await usedAtBoth(await orders.userToken());

    await admin('user', 'sessions', orders.product.user.username, '--end');

    await closedAtBoth(token);
  });

  test('a user', async () => {
    const token = await usedAtBoth(await orders.userToken());
    const machine = await usedAtBoth(await orders.machineToken());

    await admin('user', 'disable', orders.product.user.username);

    await closedAtBoth(token);
    for (const gateway of orders.gateways) assert.equal((await call(gateway, machine)).status, 200, 'another subject still works');
    await admin('user', 'enable', orders.product.user.username);
  });

  test('a key: what it signed is not sent on any more', async () => {
    const token = await usedAtBoth(await orders.machineToken());
    const { kid } = bearerOf(orders.upstream.seen.at(-1)).header;

    await admin('key', 'kill', kid);

    for (const gateway of orders.gateways) {
      await until('another key signs', async () => {
        const { status } = await call(gateway, token);
        return status === 200 && bearerOf(orders.upstream.seen.at(-1)).header.kid !== kid;
      }, { within: soon, every: 5 });
    }
  });

  test('a client', async () => {
    const token = await usedAtBoth(await orders.machineToken());

    await admin('client', 'disable', 'orders-app');

    await closedAtBoth(token);
    await assert.rejects(orders.machineToken(), /invalid_client|unauthorized_client/);
    await admin('client', 'enable', 'orders-app');
    await usedAtBoth(await orders.machineToken());
  });

  test('with the feed cut, what is kept is not used beyond the lag that was set', async () => {
    const [, second] = orders.gateways;
    const token = await usedAtBoth(await orders.machineToken());
    await orders.feed.stop();

    await orders.revoke(token);

    await closed(second, token, 5_000);
  });
});
