#!/bin/sh
# Builds the Collector that the tests run into .cache/collector/<version>/otelcol, from builder.yaml.
# Does nothing where it is there already. Takes some minutes, Go and the Go module proxy.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
manifest=$root/otel-collector/builder.yaml
version=$(sed -n 's/^  version: *//p' "$manifest")
place=$root/.cache/collector/$version

if [ -x "$place/otelcol" ]; then
    echo "collector: $version is there (.cache/collector/$version/otelcol)"
    exit 0
fi

if ! command -v go >/dev/null 2>&1; then
    echo "collector: installing Go from Debian (package golang-go)"
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    $as_root apt-get update -qq
    $as_root apt-get install -y -qq --no-install-recommends golang-go ca-certificates
fi

# From Go 1.21 on an older Go fetches the one that the Collector asks for. One from before, such as Debian 12's, cannot; but
# the toolchain is a module like any other, whose programs only have to be made executable.
toolchain=1.25.7
have=$(go env GOVERSION | sed 's/^go//')
if [ "$(printf '%s\n1.21\n' "$have" | sort -V | head -n 1)" != 1.21 ]; then
    echo "collector: Go $have is too old; fetching Go $toolchain through the Go module proxy"
    module=golang.org/toolchain@v0.0.1-go$toolchain.$(go env GOOS)-$(go env GOARCH)
    scratch=$(mktemp -d)
    goroot=$(cd "$scratch" && go mod init scratch >/dev/null 2>&1 &&
        go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
    rm -r "$scratch"
    chmod -R u+w "$goroot"
    chmod +x "$goroot"/bin/* "$goroot"/pkg/tool/*/*
    export GOROOT="$goroot" PATH="$goroot/bin:$PATH"
fi

echo "collector: building $version; this takes some minutes, once"
mkdir -p "$place"
cd "$place"
export GOTOOLCHAIN=auto CGO_ENABLED=0 GOFLAGS=-trimpath
GOBIN=$place go install "go.opentelemetry.io/collector/cmd/builder@v$version"
"$place/builder" --config "$manifest"
mv build/otelcol otelcol
rm -rf build builder
echo "collector: built .cache/collector/$version/otelcol"
