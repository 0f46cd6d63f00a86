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
    $as_root apt-get update
    $as_root apt-get install -y --no-install-recommends golang-go ca-certificates
fi

echo "collector: building $version; this takes some minutes, once"
mkdir -p "$place"
cd "$place"
# An older Go fetches the one that this version asks for.
export GOTOOLCHAIN=auto CGO_ENABLED=0 GOFLAGS=-trimpath
GOBIN=$place go install "go.opentelemetry.io/collector/cmd/builder@v$version"
"$place/builder" --config "$manifest"
mv build/otelcol otelcol
rm -rf build builder
echo "collector: built .cache/collector/$version/otelcol"
