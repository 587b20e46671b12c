#!/usr/bin/env bash
# The figures: builds what is measured, then runs the benchmark suite as root.
# Usage: bench.sh [arguments of `dockervpp-bench run`]...   (the quick suite by default)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
need_cargo

# The peers: DPDK's testpmd and the ordinary programs. One that cannot be had is reported as absent.
scripts/setup.sh test || note "going on without what could not be set up; absent peers are reported"

cargo build --locked --release -p dockervpp -p dockervpp-bench
cargo build --locked --release -p kit --bins
scripts/shim.sh
target="$(target_directory)"
out="$target/bench"
# `--out` among the arguments is another folder than ours.
case " $* " in *" --out"*) ;; *) set -- "$@" --out "$out" ;; esac
as_root env DOCKERVPP_TEST_SHIM="$target/shim/libvcl_shim.so" \
    "$target/release/dockervpp-bench" run "$@"
note "the report: report.html in the folder of the result ($out unless another was asked for)"
