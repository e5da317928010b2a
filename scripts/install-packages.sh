#!/bin/sh
# install-packages.sh [--test|--bench]: what Caisson is built and run with (Debian 12), with --test also
# the servers and tools its tests use, with --bench those that bench/run compares with. Quick when all of
# it is there. Needs root or sudo only when something is missing.
set -eu

packages="
  ca-certificates git cmake ninja-build ccache pkg-config make
  clang-16 libclang-rt-16-dev llvm-16 g++ clang-format-14 clang-tidy-14
  libzmq3-dev cppzmq-dev libflatbuffers-dev flatbuffers-compiler libboost-dev libsqlite3-dev
  libyaml-cpp-dev libsimdjson-dev libspdlog-dev libfmt-dev libcli11-dev prometheus-cpp-dev
  libsodium-dev libssl-dev libseccomp-dev libgtest-dev libgmock-dev libbenchmark-dev
  libhiredis-dev librdkafka-dev libprotobuf-dev protobuf-compiler libnghttp2-dev zlib1g-dev
  python3 curl wrk sqlite3"
if [ "${1:-}" = --test ]; then
  packages="$packages redis-server redis-tools openssl maven openjdk-17-jdk-headless python3-venv nghttp2-client
  docker.io docker-compose debootstrap iptables binutils"
  # npm comes with Node where that is not Debian's; a newer Go than Debian's will do, too.
  command -v npm >/dev/null 2>&1 || packages="$packages nodejs npm"
  command -v go >/dev/null 2>&1 || packages="$packages golang-go"
fi
if [ "${1:-}" = --bench ]; then
  packages="$packages redis-server redis-tools nghttp2-client nginx-light
  iceoryx libiceoryx-posh-dev libgrpc++-dev protobuf-compiler-grpc"
fi

missing=""
for package in $packages; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
  as_root=""
elif command -v sudo >/dev/null 2>&1; then
  as_root="sudo"
else
  echo "install-packages: missing:$missing" >&2
  echo "install-packages: run this once as root, or install sudo" >&2
  exit 1
fi

echo "install-packages: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
