"""city-orders with another module in the stage `route`, and what came out of a run on the embedded set."""

import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
from pathlib import Path

CITY_ORDERS = Path(__file__).parents[1] / "city-orders"
# An offset's place in the journal: the partition's number above these bits.
OFFSET_BITS = 40


def write_pipeline(folder, module, validated=True, replace=()):
    """Writes the pipeline with `module` (a name or a path) into a folder of its own. Without `validate` its module
    sees every fault itself."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("route.toml", "order.schema.json", "orders.ndjson"):
        shutil.copy(CITY_ORDERS / name, folder)
    spec = (CITY_ORDERS / "pipeline.toml").read_text()
    changes = [('module = "route"', f"module = {json.dumps(str(module))}"), *replace]
    if not validated:
        stage = re.search(r'\[\[stage\]\]\nname = "validate"\n.*?\n\n', spec, re.DOTALL)
        check = re.search(r'check = "validate".*\n', spec)
        changes += [(stage[0], ""), (check[0], "")]
    for old, new in changes:
        if spec.count(old) != 1:
            raise SystemExit(f"{CITY_ORDERS}/pipeline.toml has {spec.count(old)} times {old!r}, not once")
        spec = spec.replace(old, new)
    (folder / "pipeline.toml").write_text(spec)


def environment(modules, **more):
    own = {name: value for name, value in os.environ.items() if not name.startswith("GRISTMILL_")}
    return {**own, "GRISTMILL_MODULES": str(modules), **more}


def demo(host, modules, folder, cache):
    """Runs the pipeline's samples; gives what `--json` says."""
    command = [host, "demo", folder, "--json", "--data", folder / "data", "--cache", cache]
    done = subprocess.run(command, env=environment(modules), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"gristmill demo {folder} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def outcome(data):
    """Everything that a run caused, sorted, without what no two runs share: ids, times, digests of modules."""
    database = sqlite3.connect(data / "gristmill.db")
    orders = database.execute("SELECT * FROM orders").fetchall()
    letters = database.execute(
        "SELECT topic, partition, record_offset, verdict, stage, code, faults, attempts, key, value, headers"
        " FROM gristmill_dead_letters").fetchall()
    records = database.execute(
        "SELECT topic, partition, key, value, headers FROM gristmill_journal_records"
        f" JOIN gristmill_journal_partitions ON id = place >> {OFFSET_BITS} WHERE topic <> 'product_orders'").fetchall()
    # Records without a key go to any partition.
    messages = [
        (topic, None if key is None else partition, key, value, read_headers(headers))
        for topic, partition, key, value, headers in records
    ]
    mails = [(path.name, read_mail(path)) for path in (data / "mail").glob("*.eml")]
    return {
        "rows": sorted(orders, key=repr), "messages": sorted(messages, key=repr), "mails": sorted(mails),
        "dead letters": sorted(letters, key=repr),
    }


def read_headers(packed):
    """Names and values with their lengths before them, 4 bytes each; a length of all ones is no value."""
    headers, at = [], 0
    while packed and at < len(packed):
        pair = []
        for _ in range(2):
            (length,) = struct.unpack_from("<I", packed, at)
            none = length == 0xFFFFFFFF
            pair.append(None if none else packed[at + 4:at + 4 + length])
            at += 4 if none else 4 + length
        headers.append(tuple(pair))
    # A dead letter's copy names the module by its digest.
    return tuple(header for header in headers if header[0] != b"__connect.errors.class.name")


def read_mail(path):
    lines = path.read_bytes().split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(b"Date: "))
