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

export async function startProduct() {
  const data = temporaryFolder('dev');
  for (let tries = 1; ; tries += 1) {
    const port = await freePorts(6);
    let ready;
    const server = startCardea('cardea dev', ['dev', '--json', '--port', String(port), '--data', data], {
      onLine: (line) => { if (!ready && line.startsWith('{"gateway"')) ready = JSON.parse(line); },
    });
    try {
      await until('cardea dev is ready', () => ready, { server, within: 30_000 });
      return new Product(server, data, ready);
    } catch (error) {
      await server.stop();
      // Somebody else may have taken one of the ports in between.
      if (tries === 3 || !server.lines.some((line) => /in use/i.test(line))) throw error;
    }
  }
}

class Product {
  constructor(server, data, ready) {
    Object.assign(this, ready);
    this.server = server;
    this.data = data;
  }

  stop() {
    return this.server.stop();
  }

  /** `cardea COMMAND… --server … --admin-token … --json` and its answer. */
  async admin(...args) {
    const out = await cardea([...args, '--server', this.ops, '--admin-token', this.admin_token, '--json']);
    return out.trim() ? JSON.parse(out) : {};
  }

  async apply(yaml) {
    const file = path.join(temporaryFolder('apply'), 'resources.yaml');
    writeFileSync(file, yaml);
    return this.admin('apply', '-f', file);
  }

  /** A client of its own: `{ client_id, client_secret }`. */
  async client(id, { displayName, redirectUris = [], logoutUris = [], isPublic = false, grants = [], scopes = [] } = {}) {
    const args = ['client', 'create', id];
    if (displayName) args.push('--name', displayName);
    for (const uri of redirectUris) args.push('--redirect-uri', uri);
    for (const uri of logoutUris) args.push('--post-logout-redirect-uri', uri);
    for (const grant of grants) args.push('--grant', grant);
    for (const scope of scopes) args.push('--scope', scope);
    if (isPublic) args.push('--public');
    return this.admin(...args);
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
