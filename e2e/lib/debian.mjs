// Debian's nginx and Apache, each in a folder of its own, on a free port, never as root.
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { freePorts, start, temporaryFolder, until } from './process.mjs';

/** As root we step down to the web server's user; else we are nobody special already. */
function stepDown(folder, subfolders) {
  const own = subfolders.map((name) => path.join(folder, name));
  own.forEach((name) => mkdirSync(name, { recursive: true }));
  if (process.getuid() !== 0) return {};
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'www-data'])));
  [folder, ...own].forEach((name) => chownSync(name, uid, gid));
  return { uid, gid };
}

/** `config(port, folder)` gives what stands inside `http { … }`; `files` are written beside it. */
export async function startNginx({ http, files = {}, modules = [] }) {
  const folder = temporaryFolder('nginx');
  const who = stepDown(folder, ['logs', 'temp', 'cache']);
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  for (let tries = 1; ; tries += 1) {
    const port = await freePorts();
    writeFileSync(path.join(folder, 'nginx.conf'), `
${modules.map((name) => `load_module /usr/lib/nginx/modules/${name}.so;`).join('\n')}
daemon off; worker_processes 1; error_log stderr info; pid ${folder}/nginx.pid;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path temp/body; proxy_temp_path temp/proxy; fastcgi_temp_path temp/fastcgi; uwsgi_temp_path temp/uwsgi; scgi_temp_path temp/scgi;
  ${http(port, folder)}
}
`);
    const server = start('nginx', '/usr/sbin/nginx', ['-p', folder, '-c', `${folder}/nginx.conf`, '-e', 'stderr'], who);
    const url = `http://localhost:${port}`;
    try {
      await until('nginx answers', async () => (await fetch(`${url}/ready`)).ok, { server });
      return { url, stop: () => server.stop() };
    } catch (error) {
      await server.stop();
      if (tries === 3 || !server.lines.some((line) => line.includes('in use'))) throw error;
    }
  }
}

/** `config(port, folder)` gives the lines of the server. */
export async function startApache({ modules, config, files = {} }) {
  const folder = temporaryFolder('apache');
  const who = stepDown(folder, ['run', 'htdocs']);
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  const port = await freePorts();
  const url = `http://localhost:${port}`;
  writeFileSync(path.join(folder, 'httpd.conf'), `
ServerRoot ${folder}
DefaultRuntimeDir ${folder}/run
PidFile ${folder}/run/httpd.pid
ErrorLog "|/bin/cat"
LogLevel warn auth_openidc:info
ServerName localhost
Listen 127.0.0.1:${port}
${['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'alias', 'headers', ...modules].map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
DocumentRoot ${folder}/htdocs
${config(url, folder)}
`);
  return {
    url, folder,
    async start() {
      const server = start('apache', '/usr/sbin/apache2', ['-d', folder, '-f', `${folder}/httpd.conf`, '-D', 'FOREGROUND'], who);
      await until('Apache answers', async () => (await fetch(`${url}/ready.txt`)).ok, { server });
      return server;
    },
  };
}
