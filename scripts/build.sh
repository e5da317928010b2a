#!/bin/sh
# build.sh PRESET [TARGET...]: configures and builds one preset.
set -eu
cd "$(dirname "$0")/.."
preset=$1
shift

# Paths relative to the checkout: another clone of the same commit finds its objects in the cache.
export CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1
# One compiler per CPU and per 1.5 GB of memory: the sanitizer builds are hungry.
cpus=$(nproc)
by_memory=$(awk '/^MemAvailable/ { n = int($2 / 1572864); print (n < 1 ? 1 : n) }' /proc/meminfo)
jobs=$([ "$cpus" -lt "$by_memory" ] && echo "$cpus" || echo "$by_memory")

cmake --preset "$preset" >"/tmp/caisson-configure-$preset.$$" 2>&1 || {
  cat "/tmp/caisson-configure-$preset.$$" >&2
  rm -f "/tmp/caisson-configure-$preset.$$"
  exit 1
}
rm -f "/tmp/caisson-configure-$preset.$$"
if [ $# -gt 0 ]; then
  cmake --build --preset "$preset" --target "$@" -- -j "$jobs"
else
  cmake --build --preset "$preset" -- -j "$jobs"
fi
