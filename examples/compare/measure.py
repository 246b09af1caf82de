#!/usr/bin/env python3
"""What modules cost: size, compile time, time per record, memory, as numbers and as ratios to the Rust `route`.

    measure.py GRISTMILL MODULES_FOLDER MODULE.wasm… [--records N]

Each module works in the stage `route` of city-orders without `validate`, one lane, on the sample orders that become
rows, over and over. Microseconds are the difference of the host's metric gristmill_guest_microseconds_total between
the end of a warm-up and the end, divided by the records between. The least memory is found by trying.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from pipeline import CITY_ORDERS, demo, environment, write_pipeline

ADDRESS = "127.0.0.1:7199"
WARM_UP_RECORDS = 6_000
WAIT_S_MAX = 400
ONE_LANE = ("partitions = 4            # used when the topic has to be created", "partitions = 1")
MIB = 1 << 20


def good_orders():
    """The sample lines that become rows, so that nothing but the work itself is measured."""
    lines = {}
    for line in (CITY_ORDERS / "orders.ndjson").read_text().split("\n"):
        try:
            lines.setdefault(json.loads(line)["order_id"], line)
        except (ValueError, TypeError, KeyError):
            continue
    rows = (json.loads(row) for row in (CITY_ORDERS / "expected/rows.ndjson").read_text().split("\n") if row)
    return [lines[row["order_id"]] for row in rows]


def write_records(path, orders, count):
    repeated = (orders * (count // len(orders) + 1))[:count]
    path.write_text("\n".join(repeated) + "\n")


def seconds_of(command, env):
    start = time.monotonic()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    return time.monotonic() - start


def metrics():
    with urllib.request.urlopen(f"http://{ADDRESS}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    total = lambda pattern: sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))
    records = total(r"gristmill_records_total\{[^}]*\}")
    return records, total(r'gristmill_guest_microseconds_total\{[^}]*stage="route"[^}]*\}')


def wait_for(records, process):
    """Until so many records are worked through."""
    start = time.monotonic()
    while time.monotonic() - start < WAIT_S_MAX:
        if process.poll() is not None:
            raise SystemExit(f"the host ended with {process.returncode}")
        try:
            found = metrics()
            if found[0] >= records:
                return found
        except OSError:
            pass  # It is still compiling.
        time.sleep(0.3)
    raise SystemExit(f"not {records} records after {WAIT_S_MAX} s")


def run(host, folder, env, records):
    """Microseconds per record after the warm-up, and the host's memory then. All records are there when the host
    begins, so that batches are full."""
    write_records(folder / "records.ndjson", good_orders(), WARM_UP_RECORDS + records)
    ingest = [host, "ingest", "product_orders", folder / "records.ndjson", "--key", "/order_id", "--partitions", "1"]
    subprocess.run(ingest, env=env, stdout=subprocess.DEVNULL, check=True)
    process = subprocess.Popen([host, "run", folder / "pipeline.toml"], env=env, stderr=(folder / "log").open("w"))
    try:
        done, before = wait_for(WARM_UP_RECORDS, process)
        end, after = wait_for(WARM_UP_RECORDS + records, process)
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    finally:
        process.terminate()
        process.wait()
    return (after - before) / (end - done), resident


def least_memory(host, modules, module, scratch, compiled):
    """The smallest of some limits under which the samples still become what they should."""
    fits, wanted = None, None
    for mib in (128, 96, 80, 64, 48, 32, 24, 16, 8, 4):
        limit = ("[limits]\n", f"[limits]\nguest_memory_bytes_max = {mib * MIB}\n")
        write_pipeline(scratch / "pipeline", module, validated=False, replace=[limit, ONE_LANE])
        try:
            found = demo(host, modules, scratch / "pipeline", compiled)["dead_letters"]
        except SystemExit as failed:
            print(f"{module} with {mib} MiB: {str(failed).strip().splitlines()[-1]}", file=sys.stderr)
            break
        wanted = wanted or found
        if found != wanted:
            print(f"{module} with {mib} MiB: {found}", file=sys.stderr)
            break
        fits = mib
    return fits


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("host", type=Path)
    arguments.add_argument("modules", type=Path)
    arguments.add_argument("others", nargs="+", type=Path)
    arguments.add_argument("--records", type=int, default=24_000)
    arguments.add_argument("--compiled", type=Path, help="a folder of compiled modules to use: no check is cold then")
    given = arguments.parse_args()
    host, modules = given.host.resolve(), given.modules.resolve()
    print("| module | bytes | check, cold | check, warm | µs per record | ratio | host's memory | least memory |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    rust = None
    for module in ("route", *(other.resolve() for other in given.others)):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = Path(scratch)
            folder = scratch / "pipeline"
            write_pipeline(folder, module, validated=False, replace=[ONE_LANE])
            compiled = given.compiled or scratch / "compiled"
            env = environment(modules, GRISTMILL_LISTEN=ADDRESS, GRISTMILL_DATA=str(scratch / "data"),
                              GRISTMILL_CACHE=str(compiled))
            check = [host, "check", folder / "pipeline.toml"]
            cold, warm = seconds_of(check, env), seconds_of(check, env)
            micros, resident = run(host, folder, env, given.records)
            rust = rust or micros
            path = modules / "route.wasm" if module == "route" else module
            least = least_memory(host, modules, module, scratch, compiled)
            print(f"| {path.name} | {path.stat().st_size:,} | {cold:.1f} s | {warm:.2f} s | {micros:.1f} |"
                  f" {micros / rust:.1f} | {resident:.0f} MiB | {least} MiB |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
