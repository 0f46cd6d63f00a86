# To be sourced: provides a recent enough `go`, from Debian's package and the Go module proxy.
#
# From Go 1.21 on, Go fetches the toolchain that a module asks for. An older version, for example that of Debian 12,
# cannot. But the toolchain is a Go module too; its programs only have to be made executable.
# shellcheck shell=sh

if ! command -v go >/dev/null 2>&1; then
    "$(dirname "$0")/../scripts/need.sh" go=golang-go update-ca-certificates=ca-certificates
fi

go_toolchain=1.25.7
go_there=$(go env GOVERSION | sed 's/^go//')
if [ "$(printf '%s\n1.21\n' "$go_there" | sort -V | head -n 1)" != 1.21 ]; then
    echo "go: $go_there is too old; fetching $go_toolchain through the Go module proxy"
    go_module=golang.org/toolchain@v0.0.1-go$go_toolchain.$(go env GOOS)-$(go env GOARCH)
    go_scratch=$(mktemp -d)
    GOROOT=$(cd "$go_scratch" && go mod init scratch >/dev/null 2>&1 &&
        go mod download -json "$go_module" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
    rm -r "$go_scratch"
    chmod -R u+w "$GOROOT"
    chmod +x "$GOROOT"/bin/* "$GOROOT"/pkg/tool/*/*
    export GOROOT PATH="$GOROOT/bin:$PATH"
fi
export GOTOOLCHAIN=auto CGO_ENABLED=0
