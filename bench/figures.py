#!/usr/bin/env python3
"""What the release binary takes: its size, the time until all parts are ready, and the memory of a process that rests.

    make figures                              after `make build`
    python3 bench/figures.py --rest 30 BINARY

`cardea dev` is started twice in a new folder: the first start makes keys, databases and the sample. Memory is what the
system counts as resident (VmRSS in proc(5)), of which a part lies in the pages of the file and is shared with its other processes.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time

from run import HERE, Server, ask, free_ports

MOST_BYTES = 40_000_000
MOST_MS = 1_000
MOST_KIB = 60 * 1024


def resident(pid):
    """All, of which anonymous, in KiB; and the number of threads."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return [int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1]) for name in ("VmRSS", "RssAnon", "Threads")]


def start(binary, data, rest):
    """Milliseconds until everything was ready, and the memory after `rest` seconds without anything to do."""
    port = free_ports(6)
    begun = time.monotonic()
    server = Server("cardea dev", [binary, "dev", "--json", "--port", str(port), "--data", data], None, stdout=-1, text=True)
    try:
        line = server.process.stdout.readline()
        ready = (time.monotonic() - begun) * 1000
        if not line.startswith("{"):
            server.wait(lambda: False)
        status, _ = ask(json.loads(line)["issuer"] + "/.well-known/openid-configuration")
        if status != 200:
            sys.exit(f"it said that it is ready, and answered {status}")
        time.sleep(rest)
        return ready, resident(server.process.pid)
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?", default=os.environ.get("CARDEA_BIN") or HERE.parent / "target/release/cardea")
    parser.add_argument("--rest", type=float, default=15, help="seconds before memory is read; it is given back every ten")
    parser.add_argument("--starts", type=int, default=3, help="of an instance that is there already")
    options = parser.parse_args()
    binary = pathlib.Path(options.binary).resolve()
    size = binary.stat().st_size
    print(f"binary   {size / 1e6:6.1f} MB                 (to be at most {MOST_BYTES / 1e6:.0f})")
    with tempfile.TemporaryDirectory(prefix="cardea-figures-") as folder:
        data = pathlib.Path(folder) / "dev"
        first_ready, first = start(binary, data, options.rest)
        rounds = [start(binary, data, options.rest if not at else 1) for at in range(options.starts)]
    ready = statistics.median(ms for ms, _ in rounds)
    rested = rounds[0][1]
    for name, ms in (("first", first_ready), ("later", ready)):
        print(f"ready    {ms:6.0f} ms  {name} start     (to be at most {MOST_MS})")
    for name, (rss, anonymous, threads) in (("first", first), ("later", rested)):
        print(f"resident {rss / 1024:6.1f} MiB {name} start     (to be at most {MOST_KIB // 1024}; {anonymous / 1024:.1f} of its own, the rest in the file; {threads} threads)")
    good = size <= MOST_BYTES and ready <= MOST_MS and max(first[0], rested[0]) <= MOST_KIB
    sys.exit(0 if good else "more than it is to be")


if __name__ == "__main__":
    main()
