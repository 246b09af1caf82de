#!/bin/sh
# Makes a component of a Python module.
#
#   ./build.sh OUT.wasm [FOLDER]      (a folder with app.py; this one if none is named)
#
# GRISTMILL_TOOLS  the folder for the tools, 75 MB (.tools beside this script)
# GRISTMILL_WIT    the contract (wit/ of this repository)
# WORLD            `transform`, or `enriching-transform` for a module that looks things up
set -eu

fail() { echo "build.sh: $1" >&2; exit 1; }

[ $# -ge 1 ] || fail "usage: build.sh OUT.wasm [FOLDER]"
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1")
folder=$(realpath "${2:-$here}") || fail "there is no folder ${2:-}"
[ -f "$folder/app.py" ] || fail "$folder has no app.py"
tools=$(realpath -m "${GRISTMILL_TOOLS:-$here/.tools}")/python
wit=$(realpath "${GRISTMILL_WIT:-$here/../../wit}") || fail "there is no contract: set GRISTMILL_WIT"

command -v python3 >/dev/null || fail "python3 is missing: install Python 3.10 or later"

# What is installed is known by its requirements: nothing is fetched twice.
if ! cmp -s "$here/requirements.txt" "$tools/installed"; then
  rm -rf "$tools"
  mkdir -p "$(dirname "$tools")"
  python3 -m venv "$tools" >&2 || fail "python3 cannot make virtual environments: install python3-venv"
  "$tools/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2 \
    || fail "pip could not install the tools into $tools"
  cp "$here/requirements.txt" "$tools/installed"
fi

# Only what the module imports goes into the component, so tests beside it do no harm. Whoever finds the file finds
# all of it.
mkdir -p "$(dirname "$out")"
"$tools/bin/componentize-py" --quiet --wit-path "$wit" --world "${WORLD:-transform}" \
  componentize --python-path "$folder" --python-path "$here" --output "$out.part" app >&2 \
  || fail "$folder/app.py could not be made into a component"
mv "$out.part" "$out"
echo "$out: $(($(wc -c <"$out") / 1024)) KiB" >&2
