#!/bin/sh
# python-env.sh: the virtual environment of the tests and benchmarks that speak gRPC from outside,
# build/python, made once for the versions in tests/requirements.txt.
set -eu
cd "$(dirname "$0")/.."
wanted=$(cat tests/requirements.txt)
[ "$(cat build/python/requirements.txt 2>/dev/null)" != "$wanted" ] || exit 0
mkdir -p build
python3 -m venv build/python
build/python/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
printf '%s\n' "$wanted" >build/python/requirements.txt
