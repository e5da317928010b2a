#!/bin/sh
# install-sdks.sh: the public SDKs that tests/sdk uses, in the versions that are fixed there, and its
# programs built with them, below build/sdk. What is there and unchanged is left alone, so a second run
# is quick and needs no network. Node, Java, Maven and Python come from install-packages.sh --test; a Go
# that is too old for the SDK is replaced by one of its own in build/sdk/go.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
sdk="$root/build/sdk"
mkdir -p "$sdk"
exec 9>"$sdk/.lock"
flock 9

# changed NAME FILE...: whether what NAME was built from differs from the last time.
changed() {
  stamp="$sdk/.$1"
  shift
  now=$(cat "$@" | sha256sum)
  [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$now" ]
}
done_with() { echo "$now" >"$stamp"; }

say() { echo "install-sdks: $1" >&2; }

if changed python tests/sdk/python/requirements.txt; then
  say "Python"
  rm -rf "$sdk/python"
  python3 -m venv "$sdk/python"
  "$sdk/python/bin/pip" install --quiet --disable-pip-version-check --requirement tests/sdk/python/requirements.txt
  done_with
fi

if changed javascript tests/sdk/javascript/package.json tests/sdk/javascript/package-lock.json; then
  say "JavaScript"
  mkdir -p "$sdk/javascript"
  cp tests/sdk/javascript/package.json tests/sdk/javascript/package-lock.json "$sdk/javascript/"
  npm --prefix "$sdk/javascript" ci --ignore-scripts --no-audit --no-fund --no-progress --silent
  done_with
fi

# go_program: prints the path of a Go that is new enough, after fetching one where there is none.
go_version=1.26.0
go_program() {
  for go in go /usr/local/go/bin/go "$sdk/go/toolchain/bin/go"; do
    have=$("$go" env GOVERSION 2>/dev/null | sed 's/^go//') || continue
    if [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$go_version" "$have" | sort -V | head -1)" = "$go_version" ]; then
      echo "$go"
      return
    fi
  done
  say "Go $go_version"
  archive="$sdk/go/toolchain.zip"
  mkdir -p "$sdk/go"
  # A toolchain is a module like any other, and comes from where Go has its modules from.
  proxy=$(go env GOPROXY | cut -d, -f1)
  curl --silent --show-error --fail --location --output "$archive" \
    "$proxy/golang.org/toolchain/@v/v0.0.1-go$go_version.linux-amd64.zip"
  echo "$go_sum  $archive" | sha256sum --check --quiet >&2
  rm -rf "$sdk/go/toolchain" "$sdk/go/golang.org"
  python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$archive" "$sdk/go"
  mv "$sdk/go/golang.org/toolchain@v0.0.1-go$go_version.linux-amd64" "$sdk/go/toolchain"
  chmod -R u+x "$sdk/go/toolchain/bin" "$sdk/go/toolchain/pkg/tool"
  rm -rf "$archive" "$sdk/go/golang.org"
  echo "$sdk/go/toolchain/bin/go"
}
go_sum=38461905b98c59173672814302e222ab43b652274bc0c95817b08b71ab66b705

if changed go tests/sdk/go/go.mod tests/sdk/go/go.sum tests/sdk/go/*/*.go; then
  say "Go"
  go=$(go_program)
  (
    cd tests/sdk/go
    export GOMODCACHE="$sdk/go/mod" GOCACHE="$sdk/go/cache" GOTOOLCHAIN=local GOFLAGS="-modcacherw -mod=readonly"
    mkdir -p "$sdk/go/bin"
    "$go" build -o "$sdk/go/bin/" ./app ./client
  )
  done_with
fi

if changed java-libraries tests/sdk/java/pom.xml; then
  say "Java"
  rm -rf "$sdk/java/lib"
  mvn --quiet --batch-mode --file tests/sdk/java/pom.xml "-Dmaven.repo.local=$sdk/java/repository" \
    "-Doutput=$sdk/java/target" dependency:copy-dependencies "-DoutputDirectory=$sdk/java/lib"
  done_with
fi
if changed java tests/sdk/java/pom.xml tests/sdk/java/src/main/java/sdktest/*.java; then
  rm -rf "$sdk/java/classes"
  mkdir -p "$sdk/java/classes"
  javac -parameters --release 17 -proc:none -cp "$sdk/java/lib/*" -d "$sdk/java/classes" \
    tests/sdk/java/src/main/java/sdktest/*.java
  done_with
fi
