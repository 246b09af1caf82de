#!/usr/bin/env python3
"""Whether modules do what the Rust module `route` does: city-orders on the embedded set, once with each.

    same_results.py GRISTMILL MODULES_FOLDER MODULE.wasm…

`GRISTMILL_CACHE` may name a folder of compiled modules.

Compared are rows, outgoing records with keys, headers and partitions, mails, and dead letters with all faults, byte
for byte; once as the pipeline is, once without `validate`, where every fault is the module's own to find. The exit
code is 1 if anything differs.
"""

import os
import sys
import tempfile
from pathlib import Path

from pipeline import demo, outcome, write_pipeline


def main(host, modules, *others):
    host, modules = Path(host).resolve(), Path(modules).resolve()
    others = [Path(other).resolve() for other in others]
    same = True
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for validated in (True, False):
            print("with validate" if validated else "without validate")
            wanted = None
            for module in ("route", *others):
                folder = scratch / "pipeline"
                write_pipeline(folder, module, validated)
                demo(host, modules, folder, os.environ.get("GRISTMILL_CACHE", scratch / "compiled"))
                found = outcome(folder / "data")
                counts = ", ".join(f"{len(effects)} {name}" for name, effects in found.items())
                wanted = wanted or found
                differing = [name for name in wanted if wanted[name] != found[name]]
                verdict = f"DIFFERENT {differing}" if differing else "the same"
                print(f"  {module}: {counts}" + (f": {verdict}" if module != "route" else ""), flush=True)
                for name in differing:
                    show_first(wanted[name], found[name])
                same = same and not differing
    return 0 if same else 1


def show_first(wanted, found):
    missing = [one for one in wanted if one not in found][:2]
    extra = [one for one in found if one not in wanted][:2]
    print(f"    route alone: {missing}\n    module alone: {extra}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    sys.exit(main(*sys.argv[1:]))
