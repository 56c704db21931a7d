// A gateway of ours in a process of its own, with resources from files.
import { mkdirSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { startCardea } from './product.mjs';
import { freePorts, temporaryFolder, until } from './process.mjs';

/** `secrets` are files beside the resources: `file:NAME` finds them. */
export async function startGateway({ name = 'gateway', resources, secrets = {} }) {
  const folder = temporaryFolder(name);
  const write = (file, text) => writeFileSync(path.join(folder, file), text, { mode: 0o600 });
  mkdirSync(path.join(folder, 'resources'));
  const adminToken = `cad_${randomBytes(24).toString('base64url')}`;
  write('admin.token', adminToken);
  for (const [file, text] of Object.entries(secrets)) write(path.join('resources', file), text);
  write('resources/all.yaml', resources);
  for (let tries = 1; ; tries += 1) {
    const port = await freePorts(2);
    write('cardea.yaml', `data: ./data
gateway:
  listen: [{ address: "127.0.0.1:${port}" }]
  publicUrl: http://localhost:${port}
  resources: ./resources
ops:
  listen: 127.0.0.1:${port + 1}
  adminToken: file:./admin.token
`);
    const ops = `http://localhost:${port + 1}`;
    const server = startCardea(name, ['serve', '--config', path.join(folder, 'cardea.yaml'), '--roles', 'gateway']);
    try {
      await until(`${name} is ready`, async () => (await fetch(`${ops}/readyz`)).ok, { server });
      return {
        url: `http://localhost:${port}`, port, ops, folder, adminToken,
        call: (where, token, headers = {}) => fetch(`http://localhost:${port}${where}`, {
          headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
        }),
        stop: () => server.stop(),
      };
    } catch (error) {
      await server.stop();
      if (tries === 3 || !server.lines.some((line) => /in use/i.test(line))) throw error;
    }
  }
}
