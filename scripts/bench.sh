#!/usr/bin/env bash
# The figures: builds what is measured, then runs the benchmark suite as root.
# Usage: bench.sh [arguments of `dockervpp-bench run`]...   (all benchmarks by default)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
need_cargo

cargo build --locked --release -p dockervpp -p dockervpp-bench
target="$(cargo metadata --format-version 1 --no-deps --locked |
    sed 's/.*"target_directory":"\([^"]*\)".*/\1/')"
as_root "$target/release/dockervpp-bench" run --out "$target/bench" "$@"
