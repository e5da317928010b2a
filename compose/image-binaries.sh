#!/bin/sh
# image-binaries.sh source|prebuilt FOLDER: the programs of the image, stripped, into FOLDER; for
# compose/Dockerfile.
set -eu
cd "$(dirname "$0")/.."
from=$1
to=$2
case $from in
  source)
    ./scripts/install-packages.sh
    ./scripts/build.sh release caisson caisson-gateway caisson-state caisson-pubsub caisson-config \
      caisson-invoke caisson-secrets caisson-lock caisson-pubsub-kafka
    strip build/release/bin/caisson*
    ;;
  prebuilt)
    [ -x build/release/bin/caisson-gateway ] || {
      echo "image-binaries: BINARIES=prebuilt, and build/release/bin of the context has no caisson-gateway" >&2
      exit 1
    }
    ;;
  *)
    echo "image-binaries: BINARIES=$from: source or prebuilt" >&2
    exit 1
    ;;
esac
mkdir -p "$to"
cp build/release/bin/caisson* "$to"
