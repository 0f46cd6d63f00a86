#!/bin/sh
# Builds the Collector of the tests into .cache/collector/<version>/otelcol, from builder.yaml. Does nothing if it was
# built from the same manifest. Needs some minutes, Go and the Go module proxy.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
manifest=$root/otel-collector/builder.yaml
version=$(sed -n 's/^  version: *//p' "$manifest")
place=$root/.cache/collector/$version

if [ -x "$place/otelcol" ] && cmp -s "$manifest" "$place/builder.yaml"; then
    echo "collector: $version is there (.cache/collector/$version/otelcol)"
    exit 0
fi

. "$root/scripts/go.sh"

echo "collector: building $version; this takes some minutes, once"
rm -rf "$place"
mkdir -p "$place"
cd "$place"
export GOFLAGS=-trimpath
GOBIN=$place go install "go.opentelemetry.io/collector/cmd/builder@v$version"
"$place/builder" --config "$manifest"
mv build/otelcol otelcol
rm -rf build builder
# Last: an incomplete build has no manifest and is repeated.
cp "$manifest" builder.yaml
echo "collector: built .cache/collector/$version/otelcol"
