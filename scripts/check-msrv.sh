#!/usr/bin/env bash
# Checks that the workspace compiles with the minimum supported version of Rust, `rust-version` in Cargo.toml. Installs that
# version with rustup. Without rustup nothing is checked, and the output says so.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || { echo "there is no rust-version in Cargo.toml" >&2; exit 1; }
if ! command -v rustup >/dev/null; then
  echo "Rust $version: NOT checked, rustup is missing"
  exit 0
fi
rustup toolchain list | grep -q "^$version" || rustup toolchain install "$version" --profile minimal --no-self-update
cargo "+$version" check --locked --quiet --workspace --target-dir target/msrv
echo "Rust $version compiles the workspace"
