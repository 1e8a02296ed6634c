#!/usr/bin/env bash
# Builds the fuzz targets: the engine with libFuzzer's instrumentation, overflow checks and the address sanitizer. The pinned
# compiler has all of that; only the switch that opens it is not for stable builds.
set -euo pipefail
cd "$(dirname "$0")/../../native/fuzz"

flags=(
  "--cfg fuzzing"
  "-Cpasses=sancov-module"
  "-Cllvm-args=-sanitizer-coverage-level=4"
  "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
  "-Cllvm-args=-sanitizer-coverage-pc-table"
  "-Cllvm-args=-sanitizer-coverage-trace-compares"
  "-Zsanitizer=address"
  "-Ccodegen-units=1"
)
# A target by name: build scripts and macros are then built without these flags.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" cargo build --release --locked --features fuzzer --bins --target "$(uname -m)-unknown-linux-gnu"
