#!/usr/bin/env bash
# All tests: of the crates, of the engine `vpp`, then the suites against a real Docker Engine and real DPDK.
# Usage: test.sh [unit|vpp|shim|package|docker|interop|sessions]...   (all of them by default)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

[ $# -gt 0 ] || set -- unit vpp shim package docker interop sessions
scripts/setup.sh test
need_cargo

# The suites start containers and network devices: they run as root, the compiler does not. Takes a package and one of
# its tests.
run_suite() {
    local triple runner
    triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    runner="CARGO_TARGET_${triple}_RUNNER"
    [ "$(id -u)" -eq 0 ] || export "$runner=sudo --preserve-env=CI,CARGO,DOCKERVPP_TEST_BINARIES,DOCKERVPP_TEST_SHIM,DOCKERVPP_TEST_DEEP,DOCKERVPP_TEST_ENGINE,DOCKERVPP_TEST_TCP,DOCKERVPP_TEST_VCL,RUST_BACKTRACE"
    cargo test --locked -p "$1" --test "$2" -- --test-threads=1
    unset "$runner"
}

# Without those of the engine `vpp`, which are a suite of their own: they need root.
unit_tests() {
    if command -v cargo-nextest >/dev/null; then
        cargo nextest run --locked --workspace --all-features --exclude tests --no-fail-fast -E 'not binary(vpp_engine)'
    else
        cargo test --locked --workspace --all-features --exclude tests --lib --bins --tests --no-fail-fast -- \
            --skip real:: --skip scripted::
    fi
    cargo test --locked --workspace --all-features --doc
}

for part in "$@"; do
    case "$part" in
        unit)
            heading "Tests of the crates"
            unit_tests
            ;;
        vpp)
            heading "Suite: the engine vpp, on recordings and on VPP where there is one"
            run_suite dockervpp vpp_engine
            ;;
        shim | package | docker | interop | sessions)
            heading "Suite: $part"
            # Built by the caller, so that a suite that runs as root never compiles.
            cargo build --locked --workspace --bins --examples
            if [ "$part" = shim ]; then
                scripts/shim.sh
                cargo build --locked -p session --features broker --example broker
            fi
            DOCKERVPP_TEST_BINARIES="$(target_directory)/debug"
            export DOCKERVPP_TEST_BINARIES
            [ "$part" != package ] || scripts/shim.sh
            if [ "$part" = sessions ]; then
                scripts/shim.sh
                export DOCKERVPP_TEST_SHIM="$DOCKERVPP_TEST_BINARIES/../shim/libvcl_shim.so"
            fi
            run_suite tests "$part"
            ;;
        *) fail "usage: test.sh [unit|vpp|shim|package|docker|interop|sessions]..." ;;
    esac
done
heading "All tests passed"
