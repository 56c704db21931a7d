// Servers as child processes: started, waited for, stopped; what they said is shown when a test failed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, chmodSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const running = new Set();
const said = [];

process.on('exit', (code) => {
  for (const child of running) child.kill('SIGKILL');
  if (!code) return;
  for (const { name, lines } of said) {
    process.stdout.write(`---- ${name} said last\n${lines.slice(-60).join('\n')}\n----\n`);
  }
});
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(1));

/** A temporary folder that is gone when the tests end. */
export function temporaryFolder(purpose) {
  const folder = mkdtempSync(path.join(os.tmpdir(), `cardea-${purpose}-`));
  chmodSync(folder, 0o755);
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a server. `onLine` sees each line of its standard output. */
export function start(name, command, args, { env = {}, cwd, onLine = () => {}, uid, gid } = {}) {
  const child = spawn(command, args, { cwd, uid, gid, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const log = { name, lines: [] };
  said.push(log);
  running.add(child);
  eachLine(child.stdout, (line) => { log.lines.push(line); onLine(line); });
  eachLine(child.stderr, (line) => log.lines.push(line));
  const ended = new Promise((resolve) => {
    child.on('error', (error) => { log.lines.push(String(error)); resolve(error); });
    child.on('exit', (code, signal) => resolve(code ?? signal));
  }).then((how) => { running.delete(child); return how; });
  return {
    name, child, ended, lines: log.lines,
    /** Asks it to end, waits, and says how it ended. */
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
      const how = await ended;
      clearTimeout(late);
      return how;
    },
  };
}

/** Runs a command to its end: its output, or an error that shows it. */
export async function run(command, args, { env = {}, cwd, input } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (data) => { out += data; });
  child.stderr.on('data', (data) => { err += data; });
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`\`${path.basename(command)} ${args.slice(0, 3).join(' ')} …\` ended with ${code}\n${out}${err}`);
  return out;
}

/** Asks again and again until `question` answers; an error that it throws counts as "not yet". */
export async function until(what, question, { within = 15_000, every = 25, server } = {}) {
  const end = Date.now() + within;
  let last;
  let gone;
  server?.ended.then((how) => { gone = how; });
  for (;;) {
    try {
      const answer = await question();
      if (answer) return answer;
    } catch (error) {
      last = error;
    }
    if (gone !== undefined) throw new Error(`${server.name} ended (${gone}) before ${what}`);
    if (Date.now() > end) throw new Error(`not within ${within} ms: ${what}${last ? `: ${last}` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** The first of `count` neighbouring ports that are free now. */
export async function freePorts(count = 1) {
  for (let tries = 0; tries < 50; tries += 1) {
    const first = await claim(0);
    const base = first.address().port;
    const held = [first];
    try {
      for (let at = 1; at < count; at += 1) held.push(await claim(base + at));
      return base;
    } catch {
      // A neighbour is taken: from another place again.
    } finally {
      await Promise.all(held.map((server) => new Promise((resolve) => { server.close(resolve); })));
    }
  }
  throw new Error(`no ${count} free ports in a row`);
}

function claim(port) {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

function eachLine(stream, report) {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (data) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop();
    lines.forEach(report);
  });
  stream.on('end', () => { if (rest) report(rest); });
}
