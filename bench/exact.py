#!/usr/bin/env python3
"""Exactness of usage under kills: two gateways and management are killed (SIGKILL) again and again under load;
at the end the ledger must hold each call that a client has an answer to, once.

    python3 bench/exact.py                        20,000 calls, a few minutes
    python3 bench/exact.py --calls 200000 --kills 12 --binary target/release/cardea

A call that a client has no answer to may stand in the ledger or not: its record is written before its answer.
"""

import argparse
import json
import os
import pathlib
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time

from run import HERE, METERED, Bench, Server, ask, basic, free_ports, listens, upstream

LOG_IDS = """
local file
function init(args)
  file = io.open(os.tmpname_of_thread, "a")
  file:setvbuf("line")
end
function response(status, headers, body)
  file:write(status, " ", headers["x-request-id"] or "-", "\\n")
end
"""


class Killable:
    """A server that is killed and started again at the same place."""

    def __init__(self, name, args, ready):
        self.name, self.args, self.ready = name, args, ready
        self.kills = 0
        self.start()

    def start(self):
        self.server = Server(self.name, self.args, self.ready)

    def kill(self):
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait()
        self.kills += 1
        self.start()


def management(bench, dev, tokens):
    folder = bench.folder / "management"
    folder.mkdir()
    port = free_ports(2)
    secrets = {"management.key": os.urandom(32).hex(), "admin.token": os.urandom(24).hex(), "portal.secret": os.urandom(24).hex(), **tokens}
    for name, text in secrets.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    gateways = ", ".join(f"{{ name: {name.removesuffix('.token')}, token: file:{name} }}" for name in tokens)
    (folder / "cardea.yaml").write_text(f"""data: ./data
roles: [management]
management:
  url: http://localhost:{port}
  listen: 127.0.0.1:{port}
  masterKey: file:management.key
  issuer: {dev['issuer']}
  clientId: portal
  clientSecret: file:portal.secret
  registration: {{ clientCredentials: true }}
  gateways: [{gateways}]
  gatewayUrl: http://localhost:1
ops: {{ listen: "127.0.0.1:{port + 1}", adminToken: file:admin.token }}
""")
    args = [bench.binary, "serve", "--config", folder / "cardea.yaml", "--log", "error"]
    server = Killable("management", args, lambda: listens(port + 1) and ask(f"http://127.0.0.1:{port + 1}/readyz")[0] == 200)
    return server, port, folder / "data/management.db"


def gateway(bench, name, token, api, dev, management_port, made=False):
    folder = bench.folder / name
    folder.mkdir(exist_ok=made)
    port = free_ports(2)
    secrets = {"introspection.secret": dev["introspection"]["client_secret"], "admin.token": os.urandom(24).hex(), "edge.token": token}
    for file, text in secrets.items():
        (folder / file).write_text(text)
        (folder / file).chmod(0o600)
    (folder / "set.yaml").write_text(f"""kind: Issuer
name: main
spec: {{ issuer: "{dev['issuer']}", introspection: {{ as: {dev['introspection']['client_id']}, secret: file:introspection.secret }} }}
---
kind: Upstream
name: api
spec: {{ endpoints: ["http://127.0.0.1:{api}"] }}
---
kind: Service
name: api
spec: {{ upstream: api, audience: "{dev['sample']['audience']}", api: orders }}
---
kind: Route
name: all
spec: {{ match: {{ path: "/{{rest...}}" }}, service: api, auth: {{ issuer: main, scopes: [{dev['sample']['scope']}] }} }}
""" + METERED.replace("CLIENT", dev["sample"]["client_id"]))
    (folder / "cardea.yaml").write_text(f"""data: ./data
gateway:
  listen: [{{ address: "127.0.0.1:{port}" }}]
  publicUrl: http://localhost:{port}
  resources: ./set.yaml
  management: {{ url: "http://localhost:{management_port}", token: file:edge.token, name: {name} }}
ops: {{ listen: "127.0.0.1:{port + 1}", adminToken: file:admin.token }}
""")
    args = [bench.binary, "serve", "--config", folder / "cardea.yaml", "--roles", "gateway", "--log", "error"]
    server = Killable(name, args, lambda: listens(port + 1) and ask(f"http://127.0.0.1:{port + 1}/readyz")[0] == 200)
    return server, port


def unshipped(port):
    text = ask(f"http://127.0.0.1:{port + 1}/metrics")[1]
    return int(float(re.search(r"^cardea_usage_unshipped (\S+)", text, re.M)[1]))


def burst(folder, number, port, token, seconds, connections):
    """A turn of wrk that notes status and request id of each answer."""
    ids = folder / f"ids-{number}-{port}"
    script = folder / f"ids-{number}-{port}.lua"
    script.write_text(LOG_IDS.replace("os.tmpname_of_thread", json.dumps(str(ids))))
    args = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{port}/orders/1"]
    return ids, subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def answered(files):
    seen = {}
    for path in files:
        for line in path.read_text().splitlines() if path.exists() else []:
            status, _, request = line.partition(" ")
            if len(request) == 32:
                if request in seen:
                    sys.exit(f"the request id {request} was given twice")
                seen[request] = int(status)
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=3, help="of one burst")
    parser.add_argument("--kills", type=int, default=3, help="in one burst, each of a process by chance")
    parser.add_argument("--connections", type=int, default=8, help="of each gateway's clients")
    parser.add_argument("--binary", default=os.environ.get("CARDEA_BIN") or HERE.parent / "target/release/cardea")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    bench = Bench(pathlib.Path(options.binary).resolve())
    killables = []
    try:
        dev = bench.dev()
        endpoint = json.loads(ask(dev["issuer"] + "/.well-known/openid-configuration")[1])["token_endpoint"]

        def new_token():
            form = {"grant_type": "client_credentials", "scope": dev["sample"]["scope"]}
            return json.loads(ask(endpoint, "POST", {"Authorization": basic(dev["sample"])}, form)[1])["access_token"]

        api = upstream(bench)
        tokens = {"edge-1.token": os.urandom(24).hex(), "edge-2.token": os.urandom(24).hex()}
        portal, portal_port, database = management(bench, dev, tokens)
        killables.append(portal)
        gateways = []
        for name in ("edge-1", "edge-2"):
            server, port = gateway(bench, name, tokens[f"{name}.token"], api, dev, portal_port)
            killables.append(server)
            gateways.append(port)

        files, number, begun = [], 0, time.monotonic()
        while (count := sum(path.read_text().count("\n200 ") for path in files if path.exists())) < options.calls:
            number += 1
            token = new_token()
            turns = [burst(bench.folder, number, port, token, options.seconds, options.connections) for port in gateways]
            files += [ids for ids, _ in turns]
            for _ in range(options.kills):
                time.sleep(chance.uniform(0.05, options.seconds / options.kills))
                chance.choice(killables).kill()
            for _, load in turns:
                load.wait()
            print(f"burst {number}: {count} calls so far, kills " + ", ".join(f"{one.name} {one.kills}" for one in killables), flush=True)

        end = time.monotonic() + 120
        while any(unshipped(port) for port in gateways):
            if time.monotonic() > end:
                sys.exit("usage is not shipped within two minutes")
            time.sleep(0.2)
        seen = answered(files)
        rows = sqlite3.connect(f"file:{database}?mode=ro", uri=True).execute(
            "SELECT request_id, status, units FROM usage_events"
        ).fetchall()
        folded = sqlite3.connect(f"file:{database}?mode=ro", uri=True).execute(
            "SELECT SUM(calls), SUM(units) FROM usage_days"
        ).fetchone()
        ledger = {}
        doubled = 0
        for request, status, units in rows:
            doubled += request in ledger
            ledger[request] = (status, units)
        missing = [request for request in seen if request not in ledger]
        wrong = [request for request, status in seen.items() if request in ledger and ledger[request] != (status, int(status < 400))]
        unseen = len(ledger) - len(seen) + len(missing)
        # What was under way when its gateway, or the load itself, was cut off.
        most_unseen = options.connections * (sum(one.kills for one in killables[1:]) + 2 * number)
        result = {
            "answered": len(seen), "answered 200": sum(status == 200 for status in seen.values()), "ledger": len(rows), "units": sum(units for _, units in ledger.values()),
            "folded calls and units": list(folded), "missing": len(missing), "doubled": doubled, "wrong": len(wrong), "written and not answered": unseen,
            "kills": {one.name: one.kills for one in killables}, "seconds": round(time.monotonic() - begun),
        }
        print(json.dumps(result, indent=2))
        good = not (missing or doubled or wrong) and unseen <= most_unseen and list(folded) == [len(rows), result["units"]]
        sys.exit(0 if good else "the ledger is not what clients have seen")
    finally:
        for one in killables:
            one.server.stop()
        bench.stop()


if __name__ == "__main__":
    main()
