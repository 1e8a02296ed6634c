#!/usr/bin/env bash
# Builds the engine and its preload library from the locked crates and puts them into dist/.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v cargo >/dev/null; then
  echo "cargo is not on PATH: install Rust with rustup (native/rust-toolchain.toml names the version)" >&2
  exit 1
fi
(cd native && cargo build --release --locked --workspace)
mkdir -p dist
for file in kemari-engine libkemari_preload.so; do
  # Renamed into place, so that an engine that is running keeps its file.
  install -m 0755 "native/target/release/$file" "dist/.$file.new"
  mv -f "dist/.$file.new" "dist/$file"
  echo "built dist/$file"
done
