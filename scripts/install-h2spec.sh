#!/bin/sh
# install-h2spec.sh: builds h2spec (conformance tests of HTTP/2) into build/tools, once; the versions of
# it and of what it needs are pinned in tests/h2spec/go.mod.
set -eu
cd "$(dirname "$0")/.."
program=$PWD/build/tools/h2spec
[ -x "$program" ] && exit 0
mkdir -p build/tools
cd tests/h2spec
GOFLAGS="-mod=readonly -buildvcs=false" go build -o "$program.$$" github.com/summerwind/h2spec/cmd/h2spec
mv "$program.$$" "$program"
