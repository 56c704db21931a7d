#!/usr/bin/env python3
"""The disk of a gateway is full again and again, while it is called and killed: what clients have an answer to is in the
ledger once, calls without a record are refused by the rule, and all goes on without a restart when there is room.

    sudo python3 bench/full.py --binary target/release/cardea        (mounts a tmpfs of 2 MB; root)
"""

import argparse
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import time

from exact import answered, burst, gateway, management, unshipped
from run import HERE, Bench, ask, basic, upstream


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("CARDEA_BIN") or HERE.parent / "target/release/cardea")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--kilobytes", type=int, default=2048)
    options = parser.parse_args()
    chance = random.Random(1)
    bench = Bench(pathlib.Path(options.binary).resolve())
    killables, mounted = [], None
    try:
        dev = bench.dev()
        endpoint = json.loads(ask(dev["issuer"] + "/.well-known/openid-configuration")[1])["token_endpoint"]

        def new_token():
            form = {"grant_type": "client_credentials", "scope": dev["sample"]["scope"]}
            return json.loads(ask(endpoint, "POST", {"Authorization": basic(dev["sample"])}, form)[1])["access_token"]

        api = upstream(bench)
        portal, portal_port, database = management(bench, dev, {"edge-1.token": "e" * 48})
        killables.append(portal)
        disk = bench.folder / "edge-1/data"
        disk.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={options.kilobytes}k", "tmpfs", disk], check=True)
        mounted = disk
        server, port = gateway(bench, "edge-1", "e" * 48, api, dev, portal_port, made=True)
        killables.append(server)
        ballast = disk / "ballast"
        files, full, kills, waited = [], 0, 0, []
        url = f"http://127.0.0.1:{port}/orders/1"
        for number in range(1, options.rounds + 1):
            token = new_token()
            # Half of the rounds somebody else fills the disk; in the others the records themselves do, with nobody to take them.
            if number % 2:
                portal.server.process.send_signal(signal.SIGSTOP)
            ids, load = burst(bench.folder, number, port, token, 6, 8)
            files.append(ids)
            time.sleep(chance.uniform(0.5, 1.5))
            if not number % 2:
                room = os.statvfs(disk)
                try:
                    ballast.write_bytes(b"x" * max(0, room.f_bavail * room.f_bsize - chance.randint(0, 9000)))
                except OSError:
                    pass  # the records were faster: it is full all the same
            load.wait()
            status, body = ask(url, headers={"Authorization": f"Bearer {token}"})[:2]
            if status == 503:
                full += 1
                assert "usage_unavailable" in body, body
            if number % 3 == 0:
                server.kill()
                kills += 1
            portal.server.process.send_signal(signal.SIGCONT)
            ballast.unlink(missing_ok=True)
            begun = time.monotonic()
            while (now := ask(url, headers={"Authorization": f"Bearer {new_token()}"}))[0] != 200:
                if time.monotonic() - begun > 30:
                    print(ask(f"http://127.0.0.1:{port + 1}/readyz?verbose")[1], sorted(disk.rglob("*")), file=sys.stderr)
                    sys.exit(f"calls are not served again within half a minute: {now}")
                time.sleep(0.1)
            waited.append(time.monotonic() - begun)
            print(f"round {number}: full {full} times so far, served again after {waited[-1]:.1f} s", flush=True)
        end = time.monotonic() + 60
        while unshipped(port):
            if time.monotonic() > end:
                sys.exit("usage is not shipped within a minute")
            time.sleep(0.2)
        seen = answered(files)
        rows = sqlite3.connect(f"file:{database}?mode=ro", uri=True).execute("SELECT request_id, status, units FROM usage_events").fetchall()
        ledger = {request: status for request, status, _ in rows}
        served = [request for request, status in seen.items() if status == 200]
        refused = [request for request, status in seen.items() if status == 503]
        result = {
            "answered 200": len(served), "answered 503": len(refused), "rounds in which the disk was full": full, "kills while it was": kills,
            "ledger": len(rows), "doubled": len(rows) - len(ledger), "served and missing": sum(request not in ledger for request in served),
            "refused and paid for": sum(units for request, status, units in rows if seen.get(request) == 503),
            "served again after, at most": f"{max(waited):.1f} s",
        }
        print(json.dumps(result, indent=2))
        sys.exit(0 if full and not (result["doubled"] or result["served and missing"] or result["refused and paid for"]) else 1)
    finally:
        for one in killables:
            one.server.process.send_signal(signal.SIGCONT)
            one.server.stop()
        if mounted:
            subprocess.run(["umount", mounted])
        bench.stop()


if __name__ == "__main__":
    main()
