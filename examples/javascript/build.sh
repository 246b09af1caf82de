#!/bin/sh
# Makes a component of a JavaScript module.
#
#   ./build.sh OUT.wasm [MODULE.js]      (route.js if no module is named)
#
# GRISTMILL_TOOLS  the folder for the tools (.tools beside this script)
# GRISTMILL_WIT    the contract (wit/ of this repository)
# WORLD            `transform`, or `enriching-transform` for a module that looks things up
# ENGINE           `quickjs` (40 MB of tools), or `spidermonkey` (400 MB); README.md compares them
set -eu

fail() { echo "build.sh: $1" >&2; exit 1; }

[ $# -ge 1 ] || fail "usage: build.sh OUT.wasm [MODULE.js]"
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1")
module=$(realpath "${2:-$here/route.js}") || fail "there is no module ${2:-}"
wit=$(realpath "${GRISTMILL_WIT:-$here/../../wit}") || fail "there is no contract: set GRISTMILL_WIT"
engine=${ENGINE:-quickjs}

case $engine in spidermonkey | quickjs) ;; *) fail "ENGINE is spidermonkey or quickjs, not $engine" ;; esac
command -v node >/dev/null || fail "node is missing: install Node.js 20 or later"
command -v npm >/dev/null || fail "npm is missing: it comes with Node.js"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] \
  || fail "Node.js $(node --version) is too old: 20 or later"

tools=$(realpath -m "${GRISTMILL_TOOLS:-$here/.tools}")/javascript-$engine
pinned=$here/tools/$engine

# The lock file pins the whole tree. What is installed is known by it: nothing is fetched twice.
if ! cmp -s "$pinned/package-lock.json" "$tools/installed"; then
  mkdir -p "$tools"
  rm -f "$tools/installed"
  cp "$pinned/package.json" "$pinned/package-lock.json" "$tools/"
  npm ci --prefix "$tools" --no-audit --no-fund --loglevel=error >&2 \
    || fail "npm could not install the tools into $tools"
  cp "$pinned/package-lock.json" "$tools/installed"
fi
# The script stands where its imports are found.
cp "$here/tools/componentize.mjs" "$tools/"

cd "$(dirname "$module")"
node "$tools/componentize.mjs" "$engine" "$(basename "$module")" "$out" "$wit" "${WORLD:-transform}" \
  || fail "$module could not be made into a component"
