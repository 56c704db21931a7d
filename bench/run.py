#!/usr/bin/env python3
"""Side-by-side benchmarks of the gateway, on loopback, bounded in count and time.

Every contender serves the same upstream, takes the same load in turn, and is charged the CPU time that
the operating system says its processes used, divided by the requests that wrk got answered. Turns are
interleaved and their order rotates, so that whatever else the machine does falls on all alike; the median of
the rounds counts. Wall-clock figures on a small shared machine say little: they are shown, not compared.

    make bench                    all scenarios, figures into bench/RESULTS.md
    make bench ARGS="--rounds 3 --seconds 1 --dry"
"""

import argparse
import base64
import datetime
import http.server
import json
import os
import pathlib
import platform
import pwd
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 32


class Server:
    """A child process and what it and its children cost."""

    def __init__(self, name, args, ready, unprivileged=False, **options):
        if unprivileged and os.getuid() == 0:
            user = pwd.getpwnam("www-data")
            options.update(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
        self.name = name
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(args, stdout=options.pop("stdout", self.log), stderr=self.log, **options)
        if ready:
            self.wait(ready)

    def wait(self, ready):
        end = time.monotonic() + 20
        while not ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                sys.exit(f"{self.name} did not start:\n{self.log.read().decode(errors='replace')[-3000:]}")
            time.sleep(0.02)

    def cpu_seconds(self):
        """User and system time so far, of the process and all below it."""
        return sum(ticks_of(pid) for pid in family(self.process.pid)) / TICKS

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def family(root):
    """A process and all below it."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass
    found, new = {root}, {root}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - found
        found |= new
    return found


def ticks_of(pid):
    """utime, stime, cutime and cstime (proc(5))."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])


def free_ports(count=1):
    for _ in range(50):
        held = []
        try:
            for at in range(count):
                one = socket.socket()
                held.append(one)
                one.bind(("127.0.0.1", held[0].getsockname()[1] + at if at else 0))
            return held[0].getsockname()[1]
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
    sys.exit("no free ports in a row")


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def ask(url, method="GET", headers=None, form=None):
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(url, method=method, headers=headers or {}, data=data)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def basic(client):
    pair = f"{client['client_id']}:{client['client_secret']}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


class Bench:
    def __init__(self, binary):
        self.binary = binary
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cardea-bench-"))
        self.folder.chmod(0o755)
        self.servers = []

    def server(self, *args, **options):
        server = Server(*args, **options)
        self.servers.append(server)
        return server

    def nginx(self, name, http, modules=()):
        folder = self.folder / name
        for part in ("temp", "cache"):
            (folder / part).mkdir(parents=True)
        port = free_ports()
        modules = "".join(f"load_module /usr/lib/nginx/modules/{module}.so;\n" for module in modules)
        (folder / "nginx.conf").write_text(f"""{modules}
daemon off; worker_processes {os.cpu_count()}; error_log stderr error; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path temp/body; proxy_temp_path temp/proxy; fastcgi_temp_path temp/fastcgi; uwsgi_temp_path temp/uwsgi; scgi_temp_path temp/scgi;
{http.replace("PORT", str(port)).replace("FOLDER", str(folder))}
}}
""")
        if os.getuid() == 0:
            user = pwd.getpwnam("www-data")
            for path in (folder, folder / "temp", folder / "cache"):
                os.chown(path, user.pw_uid, user.pw_gid)
        args = ["/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]
        return self.server(name, args, lambda: listens(port), unprivileged=True), port

    def dev(self):
        """`cardea dev`: the authority of all contenders."""
        port = free_ports(6)
        server = self.server(
            "cardea dev", [self.binary, "dev", "--json", "--port", str(port), "--data", self.folder / "dev"], None, stdout=subprocess.PIPE, text=True
        )
        line = server.process.stdout.readline()
        if not line.startswith("{"):
            server.wait(lambda: False)
        return json.loads(line)

    def stop(self):
        for server in reversed(self.servers):
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def upstream(bench):
    return bench.nginx("upstream", """
  server {
    listen 127.0.0.1:PORT reuseport;
    keepalive_timeout 300s;
    location = /check { return 200 "$http_authorization"; }
    location / { default_type application/json; return 200 '{"order":1,"state":"shipped","lines":[{"sku":"a-1","count":2},{"sku":"b-7","count":1}]}'; }
  }""")[1]


def plain_nginx(bench, upstream_port):
    return bench.nginx("nginx-plain", f"""
  upstream api {{ server 127.0.0.1:{upstream_port}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:PORT reuseport;
    location / {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://api; }}
  }}""")


def phantom_nginx(bench, upstream_port, dev, endpoint):
    script = (HERE.parent / "e2e/lib/phantom.js").read_text()
    (bench.folder / "phantom.js").write_text(script)
    return bench.nginx("nginx-phantom", f"""
  js_import phantom from {bench.folder}/phantom.js;
  proxy_cache_path FOLDER/cache keys_zone=tokens:4m;
  upstream api {{ server 127.0.0.1:{upstream_port}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:PORT reuseport;
    location / {{
      auth_request /_phantom;
      auth_request_set $jwt $sent_http_phantom_token;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer $jwt";
      proxy_pass http://api;
    }}
    location = /_phantom {{ internal; js_content phantom.exchange; }}
    location = /_introspect {{
      internal;
      proxy_method POST;
      proxy_set_header Authorization "{basic(dev['introspection'])}";
      proxy_set_header Content-Type application/x-www-form-urlencoded;
      proxy_set_header Accept application/jwt;
      proxy_set_body "token=$arg_token";
      proxy_cache tokens; proxy_cache_methods POST GET HEAD; proxy_cache_key $arg_token;
      proxy_pass {endpoint.replace("localhost", "127.0.0.1")};
    }}
  }}""", modules=["ngx_http_js_module"])


class Ledger(http.server.BaseHTTPRequestHandler):
    """Management's end of usage: takes batches, counts, and is charged to nobody."""

    protocol_version = "HTTP/1.1"
    taken = {}

    def do_POST(self):
        batch = json.loads(self.rfile.read(int(self.headers["content-length"])))
        end = batch["first"] + len(batch["records"])
        self.taken[batch["gateway"]] = max(self.taken.get(batch["gateway"], 0), end - 1)
        self.answer(200, json.dumps({"next": end, "totals": [], "cursor": 0}))

    def do_GET(self):
        time.sleep(25)
        self.answer(304, "")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def ledger():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ledger)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


# Nothing of it is ever used up, and all of it is counted.
METERED = """---
kind: Api
name: orders
spec: { title: Orders, version: "1" }
---
kind: Plan
name: large
spec: { title: Large, apis: [orders], rate: { requests: 10000000, per: 1s }, quota: { requests: 1000000000000, per: month } }
---
kind: Subscription
name: bench
spec: { client: CLIENT, plan: large }
"""


# Twenty that are all looked at for each call: one permits, and no condition of the others is true.
POLICIES = """@id("clients-call")
permit (principal, action == Action::"call", resource);
""" + "".join(f"""
@id("shut-{number}")
forbid (principal, action == Action::"call", resource)
when {{ context has network && context.network has address && context.network.address.isInRange(ip("192.0.2.{number}/32")) }};
""" for number in range(1, 20))

POLICY_TEST = """tests:
- name: a client calls
  question:
    subject: { type: client, id: anybody }
    action: { name: call }
    resource: { type: operation, id: orders/all }
  expect: allow
"""


def publish_policies(bench):
    folder = bench.folder / "policies"
    folder.mkdir()
    (folder / "bench.cedar").write_text(POLICIES)
    (folder / "tests.yaml").write_text(POLICY_TEST)
    done = subprocess.run([bench.binary, "policy", "publish", folder, "--data", bench.folder / "dev"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the policies are refused:\n{done.stdout}{done.stderr}")


def cardea_gateway(bench, upstream_port, dev, log, metered=False, policies=False):
    """The gateway in a process of its own, so that it alone is charged."""
    folder = bench.folder / f"gateway-{log}-{metered}-{policies}"
    (folder / "resources").mkdir(parents=True)
    secret = folder / "introspection.secret"
    secret.write_text(dev["introspection"]["client_secret"])
    secret.chmod(0o600)
    port = free_ports(2)
    admin = folder / "admin.token"
    admin.write_text("cad_" + os.urandom(24).hex())
    admin.chmod(0o600)
    caller = folder / "caller.secret"
    caller.write_text(dev["entitlement"]["callers"]["gateway"])
    caller.chmod(0o600)
    (folder / "resources/bench.yaml").write_text(f"""kind: Issuer
name: main
spec: {{ issuer: "{dev['issuer']}", introspection: {{ as: {dev['introspection']['client_id']}, secret: "file:{secret}", revocations: {{ maxLag: 5s }} }} }}
---
kind: Upstream
name: api
spec: {{ endpoints: ["http://127.0.0.1:{upstream_port}"] }}
---
kind: Service
name: api
spec: {{ upstream: api, audience: "{dev['sample']['audience']}"{", api: orders" if metered else ""} }}
---
kind: Route
name: all
spec: {{ match: {{ path: "/{{rest...}}" }}, service: api, auth: {{ issuer: main, scopes: [{dev['sample']['scope']}] }}{", policy: { source: central }" if policies else ""} }}
""" + (f"""---
kind: PolicySource
name: central
spec: {{ snapshot: {{ url: "{dev['entitlement']['url']}", secret: "file:{caller}" }} }}
""" if policies else "") + (METERED.replace("CLIENT", dev["sample"]["client_id"]) if metered else ""))
    management = ""
    if metered:
        token = folder / "edge.token"
        token.write_text(os.urandom(24).hex())
        management = f"\n  management: {{ url: 'http://127.0.0.1:{ledger()}', token: file:./edge.token, name: bench }}"
    (folder / "cardea.yaml").write_text(f"""data: ./data
gateway:
  listen: [{{ address: "127.0.0.1:{port}" }}]
  publicUrl: http://localhost:{port}
  resources: ./resources{management}
ops:
  listen: 127.0.0.1:{port + 1}
  adminToken: file:./admin.token
""")
    args = [bench.binary, "serve", "--config", folder / "cardea.yaml", "--roles", "gateway", "--log", log]
    ready = f"http://127.0.0.1:{port + 1}/readyz"
    return bench.server("cardea gateway", args, lambda: listens(port + 1) and ask(ready)[0] == 200), port


def load(port, token, seconds, path="/orders/1"):
    """One turn of wrk: requests answered, requests per second, 99th percentile in ms."""
    out = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, timeout=seconds + 30, check=True,
    ).stdout
    if re.search(r"Non-2xx|Socket errors", out):
        sys.exit(f"the load was not answered as it should be:\n{out}")
    requests = int(re.search(r"(\d+) requests in", out)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    return requests, rate, float(tail[1]) * {"us": 0.001, "ms": 1, "s": 1000}[tail[2]]


def prepare(bench):
    """What all scenarios share: an authority, a token of it, an upstream."""
    dev = bench.dev()
    metadata = json.loads(ask(dev["issuer"] + "/.well-known/openid-configuration")[1])
    status, body = ask(
        metadata["token_endpoint"], "POST", {"Authorization": basic(dev["sample"])}, {"grant_type": "client_credentials", "scope": dev["sample"]["scope"]}
    )
    assert status == 200, body
    return dev, metadata, json.loads(body)["access_token"], upstream(bench)


def hot_phantom_hit(bench, shared, rounds, seconds):
    dev, metadata, token, api = shared
    publish_policies(bench)
    contenders = {
        "nginx, plain proxy, no security": plain_nginx(bench, api),
        "nginx, phantom flow (auth_request, njs, cached introspection)": phantom_nginx(bench, api, dev, metadata["introspection_endpoint"]),
        "cardea gateway, phantom flow": cardea_gateway(bench, api, dev, "warn"),
        "cardea gateway, phantom flow, with its access log": cardea_gateway(bench, api, dev, "info"),
        "cardea gateway, phantom flow, with plan, quota and usage record": cardea_gateway(bench, api, dev, "warn", metered=True),
        "cardea gateway, phantom flow, with plan, quota, usage record and 20 policies": cardea_gateway(bench, api, dev, "warn", metered=True, policies=True),
    }

    for name, (_, port) in contenders.items():
        status, seen = ask(f"http://127.0.0.1:{port}/check", headers={"Authorization": f"Bearer {token}"})
        assert status == 200, f"{name}: {status} {seen}"
        exchanged = seen.startswith("Bearer eyJ") and token not in seen
        assert exchanged == ("phantom" in name), f"{name}: the upstream saw another kind of token"
        load(port, token, 1)

    contenders = {name: (server, port, "/orders/1", 1) for name, (server, port) in contenders.items()}
    return compare(contenders, token, rounds, seconds)


def compare(contenders, token, rounds, seconds):
    """By name: a server, its port, what is asked, and how many of these requests count as one."""
    turns = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        for name in names[number % len(names):] + names[:number % len(names)]:
            server, port, path, times = contenders[name]
            before = server.cpu_seconds()
            requests, rate, tail = load(port, token, seconds, path)
            turns[name].append(((server.cpu_seconds() - before) / requests * 1e6 * times, rate / times, tail))
        print(f"round {number + 1} of {rounds}: " + ", ".join(f"{turns[name][-1][0]:.1f} µs" for name in names), flush=True)
    return {name: [statistics.median(column) for column in zip(*values)] + [min(v[0] for v in values), max(v[0] for v in values)] for name, values in turns.items()}


def composed(bench, shared, rounds, seconds):
    """A composition of five parallel steps beside the five calls that it stands for, in one gateway."""
    dev, _, token, api = shared
    server, port = cardea_gateway(bench, api, dev, "error")
    names = "abcde"
    steps = "\n".join(f"  - {{ name: {name}, request: {{ service: api, path: '/orders/${{ request.params.id }}' }} }}" for name in names)
    output = "\n".join(f"      {name}: '${{ steps.{name}.body }}'" for name in names)
    path = bench.folder.glob("gateway-error*/resources").__next__() / "page.yaml"
    path.write_text(f"""kind: Composition
name: page
spec:
  match: {{ path: "/page/{{id}}" }}
  auth: {{ issuer: main, scopes: [{dev['sample']['scope']}] }}
  audience: "{dev['sample']['audience']}"
  steps:
{steps}
  output:
    body:
{output}
""")
    end = time.monotonic() + 20
    while True:
        status, body = ask(f"http://127.0.0.1:{port}/page/1", headers={"Authorization": f"Bearer {token}"})
        if status == 200 and set(json.loads(body)) == set(names):
            break
        assert time.monotonic() < end, f"the composition is not served: {status} {body}"
        time.sleep(0.1)
    load(port, token, 1), load(port, token, 1, "/page/1")
    return compare({
        "five proxied calls": (server, port, "/orders/1", len(names)),
        "one composition of five parallel steps": (server, port, "/page/1", 1),
    }, token, rounds, seconds)


def report(results, compositions, rounds, seconds, busy):
    version = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip().removeprefix("nginx version: ")
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    plain = next(iter(results.values()))[0]
    lines = [
        "# Benchmark results", "",
        "Written by `make bench`. CPU per request is what the operating system charged the server's processes (user and",
        "system), divided by the requests answered; the median of interleaved rounds. Compare figures within one table only.", "",
        "## Hot phantom hit", "",
        "One opaque token whose JWT is cached, HTTP/1.1 with keep-alive, a small JSON answer from the same upstream.",
        "No access log, unless the line says so. With plan, quota and usage record each call is counted against a rate and a quota,",
        "has both `RateLimit` fields on its answer, and stands on the disk before it is answered; shipping is charged as well.", "",
        f"{datetime.date.today()} · {os.cpu_count()} cores ({model[1] if model else platform.machine()}), Linux {platform.release()} · {version}"
        f" · wrk, {CONNECTIONS} connections · {rounds} rounds of {seconds} s each, load on the same machine"
        f" · load average from other work when it began: {busy:.1f}", "",
        "| contender | CPU per request | relative | lowest to highest round | requests/s | p99 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, (cpu, rate, tail, low, high) in results.items():
        lines.append(f"| {name} | {cpu:.1f} µs | {cpu / plain:.2f} | {low:.1f} to {high:.1f} µs | {rate:,.0f} | {tail:.2f} ms |")
    five = next(iter(compositions.values()))[0]
    lines += [
        "", "## Composition", "",
        "Five parallel steps to the same upstream, each with the caller's JWT, their JSON put together into one answer; beside five",
        "requests that the same gateway only passes on. The hop from client to gateway is made five times by the one, once by the other.", "",
        "| what | CPU | relative | lowest to highest round | per second |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, (cpu, rate, _, low, high) in compositions.items():
        lines.append(f"| {name} | {cpu:.1f} µs | {cpu / five:.2f} | {low:.1f} to {high:.1f} µs | {rate:,.0f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="print the figures, leave bench/RESULTS.md as it is")
    options = parser.parse_args()
    if not (1 <= options.rounds <= 50 and 1 <= options.seconds <= 30):
        sys.exit("between 1 and 50 rounds of 1 to 30 seconds")
    busy = os.getloadavg()[0]
    bench = Bench(os.environ.get("CARDEA_BIN") or HERE.parent / "target/release/cardea")
    try:
        shared = prepare(bench)
        results = hot_phantom_hit(bench, shared, options.rounds, options.seconds)
        compositions = composed(bench, shared, options.rounds, options.seconds)
    finally:
        bench.stop()
    text = report(results, compositions, options.rounds, options.seconds, busy)
    print(text)
    if not options.dry:
        (HERE / "RESULTS.md").write_text(text)


if __name__ == "__main__":
    main()
