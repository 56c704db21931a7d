// The product under test: `cardea dev` on free ports with a data folder of its own.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePorts, run, start, temporaryFolder, until } from './process.mjs';

const binary = process.env.CARDEA_BIN;

/** Runs `cardea` to its end. */
export function cardea(args, options) {
  if (!binary) throw new Error('CARDEA_BIN names the binary under test; scripts/e2e.sh sets it');
  return run(binary, args, options);
}

/** A server that is `cardea …`. */
export function startCardea(name, args, options) {
  if (!binary) throw new Error('CARDEA_BIN names the binary under test; scripts/e2e.sh sets it');
  return start(name, binary, args, options);
}

/** Roles together (`cardea dev`), or apart with PostgreSQL: E2E_ROLES=apart. */
export async function startProduct() {
  return process.env.E2E_ROLES === 'apart' ? (await import('./apart.mjs')).startApart() : startDev();
}

export async function startDev({ flags = [] } = {}) {
  const data = temporaryFolder('dev');
  for (let tries = 1; ; tries += 1) {
    const port = await freePorts(6);
    let ready;
    const server = startCardea('cardea dev', ['dev', '--json', '--port', String(port), '--data', data, ...flags], {
      onLine: (line) => { if (!ready && line.startsWith('{"gateway"')) ready = JSON.parse(line); },
    });
    try {
      await until('cardea dev is ready', () => ready, { server, within: 30_000 });
      return new Product([server], data, ready);
    } catch (error) {
      await server.stop();
      // Somebody else may have taken one of the ports in between.
      if (tries === 3 || !server.lines.some((line) => /in use/i.test(line))) throw error;
    }
  }
}

export class Product {
  constructor(servers, data, ready) {
    Object.assign(this, ready);
    this.servers = servers;
    this.data = data;
  }

  async stop() {
    for (const server of this.servers.slice().reverse()) await server.stop();
  }

  /** `cardea COMMAND… --server … --admin-token … --json` and its answer. */
  async admin(...args) {
    const out = await cardea([...args, '--server', this.ops, '--admin-token', this.admin_token, '--json']);
    return out.trim() ? JSON.parse(out) : {};
  }

  /** Resources as YAML, or as documents. */
  async apply(resources) {
    const text = typeof resources === 'string' ? resources : resources.map((one) => `${JSON.stringify(one)}\n`).join('---\n');
    const file = path.join(temporaryFolder('apply'), 'resources.yaml');
    writeFileSync(file, text);
    return this.admin('apply', '-f', file);
  }

  /** A client of its own: `{ client_id, client_secret }`. Scopes may bring its account number as a claim. */
  async client(name, { redirectUris = [], logoutUris = [], grants = [], scopes = [], ...more } = {}) {
    const spec = {
      redirectUris, postLogoutRedirectUris: logoutUris, grantTypes: grants, scopes, attributes: { account_nr: '4711-0815' }, ...more,
    };
    await this.apply([{ kind: 'Client', name, spec }]);
    const { client_id: id, client_secret: secret } = await this.admin('client', 'secret', 'add', name);
    return { client_id: id ?? name, client_secret: secret };
  }

  /** Calls the sample API with this token. */
  call(token, { headers = {}, where = '/echo/hi' } = {}) {
    const authorization = token ? { authorization: `Bearer ${token}` } : {};
    return fetch(`${this.gateway}${where}`, { headers: { ...authorization, ...headers } });
  }

  async discover() {
    const answer = await fetch(`${this.issuer}/.well-known/openid-configuration`);
    return answer.json();
  }
}
