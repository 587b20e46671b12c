#!/usr/bin/env bash
# Records what the engine `vpp` and a real VPP say to each other (driver/tests/vpp_engine/recordings), and plays it.
# Usage: vpp-record.sh [scenario]...   (all of them by default)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
need_cargo

# VPP and network namespaces need root, the compiler does not; recordings are the caller's.
triple=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
[ "$(id -u)" -eq 0 ] ||
    export "CARGO_TARGET_${triple}_RUNNER=sudo --preserve-env=DOCKERVPP_TEST_VCL,DOCKERVPP_TEST_VPP_RECORD,RUST_BACKTRACE"
folder=driver/tests/vpp_engine/recordings

scenarios() {
    cargo test --locked -p dockervpp --test vpp_engine -- --test-threads=1 "$@"
}

heading "Recording"
# A scenario that is gone leaves no recording.
[ $# -gt 0 ] || rm -rf "$folder"
[ $# -gt 0 ] || set -- ""
DOCKERVPP_TEST_VPP_RECORD=1 scenarios "${@/#/real::}"
[ "$(id -u)" -eq 0 ] || sudo chown -R "$(id -u):$(id -g)" "$folder"
heading "Playing"
scenarios scripted::
