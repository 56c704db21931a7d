// Calls that are sent on: npm and PyPI `standardwebhooks`, each as the receiver, say that what comes is true; secrets
// change over, receivers fail, want no more, and get everything again.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Webhook } from 'standardwebhooks';
import { freePorts, start, temporaryFolder, until } from '../lib/process.mjs';
import { cardea, startCardea } from '../lib/product.mjs';

describe('calls are pushed to a billing system', { timeout: 120_000 }, () => {
  const text = () => randomBytes(32).toString('base64url');
  const secrets = { older: `whsec_${randomBytes(32).toString('base64')}`, newer: `whsec_${randomBytes(32).toString('base64')}` };
  const [admin, gateway] = [text(), text()];
  const folder = temporaryFolder('push');
  const keep = (name, content) => writeFileSync(path.join(folder, name), content, { mode: 0o600 });
  const got = [];
  let [answer, number, port] = [204, 0];
  let receiver;
  let python;
  let management;

  before(async () => {
    const name = path.join(import.meta.dirname, '../lib/receiver.py');
    const interpreter = path.join(import.meta.dirname, '../.venv/bin/python');
    python = start('receiver.py', interpreter, [name], { env: { ...process.env, SECRETS: JSON.stringify(secrets) } });
    await until('the Python receiver listens', () => /^\d+$/.test(python.lines[0] ?? ''), { server: python });
    receiver = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      got.push({ headers: request.headers, body: Buffer.concat(chunks).toString(), answer });
      response.writeHead(answer).end();
    });
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    port = await freePorts(2);
    for (const [file, content] of Object.entries({ admin, gateway, master: text(), portal: text(), ...secrets })) keep(file, content);
    await serve('secret: file:older');
  });
  after(async () => { await management?.stop(); await python?.stop(); receiver?.close(); });

  function configure(push, url) {
    keep('cardea.yaml', `data: ./data
roles: [management]
management:
  url: http://localhost:${port}
  listen: 127.0.0.1:${port}
  masterKey: file:master
  issuer: http://localhost:9
  clientId: portal
  clientSecret: file:portal
  gatewayUrl: http://localhost:9
  gateways: [{ name: edge-1, token: file:gateway }]
  usage: { push: { url: "${url}", ${push} } }
ops: { listen: "127.0.0.1:${port + 1}", adminToken: file:admin }
`);
    return path.join(folder, 'cardea.yaml');
  }

  async function serve(push, url = `http://127.0.0.1:${receiver.address().port}/calls?for=us`, outgoing = 'anywhere') {
    await management?.stop();
    const config = configure(`${push}, outgoing: ${outgoing}`, url);
    management = startCardea('management', ['serve', '--json', '--config', config]);
    await until('management is ready', () => management.lines.some((line) => line.includes('"ready":true')), { server: management, within: 30_000 });
  }

  /** As a gateway reports them. */
  async function report(many) {
    const first = number + 1;
    const records = Array.from({ length: many }, () => {
      number += 1;
      return { id: `call-${number}`, at: Date.now(), api: 'orders', operation: 'list', method: 'GET', status: 429, outcome: 'refused', reason: 'rate_limited', units: 0, micros: 5 };
    });
    const body = JSON.stringify({ gateway: 'g-1', name: 'edge-1', first, records, seen: 0 });
    const answer = await fetch(`http://127.0.0.1:${port}/gateway/v1/usage`, {
      method: 'POST', headers: { authorization: `Bearer ${gateway}`, 'content-type': 'application/json' }, body,
    });
    assert.equal(answer.status, 200, await answer.text());
  }

  async function pushes(body) {
    const answer = await fetch(`http://127.0.0.1:${port + 1}/management/v1/usage/push`, {
      method: body ? 'POST' : 'GET', headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body),
    });
    assert.equal(answer.status, 200);
    return (await answer.json()).items;
  }

  const taken = () => got.filter((one) => one.answer < 300).flatMap((one) => JSON.parse(one.body));
  const names = (events) => new Set(events.map((event) => `${event.source} ${event.id}`));
  const arrives = (many) => until(`${many} calls have arrived`, () => names(taken()).size >= many, { server: management, within: 30_000 });

  /** Both libraries, with one of the secrets. */
  async function isTrue(message, secret) {
    new Webhook(secrets[secret]).verify(message.body, message.headers);
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = message.headers;
    const answer = await fetch(`http://127.0.0.1:${python.lines[0]}/${secret}`, {
      method: 'POST', headers: { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature }, body: message.body,
    });
    if (answer.status !== 204) throw new Error(`Python: ${await answer.text()}`);
  }

  test('npm and PyPI standardwebhooks take it for true, and nothing that was changed', async () => {
    await report(3);
    await arrives(3);
    const [message] = got;
    await isTrue(message, 'older');
    assert.throws(() => new Webhook(secrets.older).verify(message.body.replace('call-1', 'call-9'), message.headers));
    await assert.rejects(isTrue(message, 'newer'));
    assert.match(message.headers['content-type'], /^application\/cloudevents-batch\+json/);
    assert.deepEqual(taken().map((event) => event.data.requestId), ['call-1', 'call-2', 'call-3']);
    const [state] = await pushes();
    assert.equal(state.url, `http://127.0.0.1:${receiver.address().port}/calls`);
    await until('it is current', async () => (await pushes())[0].state === 'current', { server: management });
  });

  test('while the secret changes, who knows either takes it', async () => {
    await serve('secret: file:newer, previousSecret: file:older');
    await report(1);
    await arrives(4);
    await isTrue(got.at(-1), 'older');
    await isTrue(got.at(-1), 'newer');
    await serve('secret: file:newer');
    await report(1);
    await arrives(5);
    await isTrue(got.at(-1), 'newer');
    await assert.rejects(isTrue(got.at(-1), 'older'));
  });

  test('what is not taken is sent again as the same message, and the failure is told', async () => {
    const before = got.length;
    answer = 503;
    await report(2);
    await until('it was refused', async () => (await pushes())[0].failures > 0, { server: management });
    const [state] = await pushes();
    assert.deepEqual([state.state, state.error, state.waiting], ['failing', 'the receiver answered 503', 2]);
    answer = 204;
    await arrives(7);
    const sent = got.slice(before);
    assert.equal(new Set(sent.map((one) => one.headers['webhook-id'])).size, 1);
    assert.equal(new Set(sent.map((one) => one.body)).size, 1);
    await isTrue(sent.at(-1), 'newer');
  });

  test('after 410 nothing comes until an administrator says so; everything can be sent again', async () => {
    answer = 410;
    await report(1);
    await until('it has ended', async () => (await pushes())[0].state === 'ended', { server: management });
    answer = 204;
    const [state] = await pushes({});
    assert.equal(state.endedAt, null);
    await arrives(8);
    const before = got.length;
    await pushes({ since: 0 });
    await until('all have come again', () => got.slice(before).flatMap((one) => JSON.parse(one.body)).length >= 8, { server: management });
    assert.equal(names(taken()).size, 8);
    await isTrue(got.at(-1), 'newer');
  });

  test('an inner address is none to send to, unless the operator says so', async () => {
    await assert.rejects(cardea(['serve', '--config', configure('secret: file:newer', 'http://bills.example/')]), /plain http/);
    await serve('secret: file:newer', `https://127.0.0.1:${receiver.address().port}/`, 'public');
    await until('it is refused', async () => (await pushes()).some((one) => one.error?.includes('not one that may be called')), { server: management });
  });
});
