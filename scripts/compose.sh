#!/bin/sh
# Builds Docker Compose from its Go module into .cache/compose/<version>/docker-compose if this machine has no Compose
# 2. Prints the command to use.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
# The last version that Go 1.24 builds. `go install` rejects its exclude directives, so it is built in place.
version=v2.40.3
place=$root/.cache/compose/$version

if docker compose version >/dev/null 2>&1; then
    echo "docker compose"
    exit 0
fi
if [ ! -x "$place/docker-compose" ]; then
    {
        . "$root/scripts/go.sh"
        echo "compose: building Docker Compose $version; this takes some minutes, once"
        mkdir -p "$place"
        module=$(cd "$place" && go mod download -json "github.com/docker/compose/v2@$version" |
            sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
        cd "$module"
        GOWORK=off GOFLAGS='-mod=readonly -trimpath -buildvcs=false' go build \
            -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$version" -o "$place/docker-compose.new" ./cmd
        mv "$place/docker-compose.new" "$place/docker-compose"
    } >&2
fi
echo "$place/docker-compose"
