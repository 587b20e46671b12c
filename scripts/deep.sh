#!/usr/bin/env bash
# What takes long and needs more than stable Rust: memory rules under Miri, the wake-up protocol under
# loom, the parsers and rings under a fuzzer, programs over sessions for longer.
# Usage: deep.sh [miri|loom|fuzz|endurance]... [seconds per fuzz target]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
need_cargo

seconds=60
parts=()
for argument in "$@"; do
    case "$argument" in
        miri | loom | fuzz | endurance) parts+=("$argument") ;;
        *[!0-9]* | '') fail "usage: deep.sh [miri|loom|fuzz|endurance]... [seconds per fuzz target]" ;;
        *) seconds=$argument ;;
    esac
done
[ "${#parts[@]}" -gt 0 ] || parts=(miri loom fuzz endurance)

# Each keeps its own artefacts: other flags would rebuild everything.
folder=target/deep

miri() {
    heading "Miri: shm and the rings of memif-rs"
    cargo +nightly miri --version >/dev/null ||
        fail "Miri is missing: rustup toolchain install nightly --component miri,rust-src"
    export CARGO_TARGET_DIR=$folder/miri
    MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test -p shm
    MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test -p memif-rs --lib queue -- --skip scribbling
    # Atomics of one size over plain writes of another are what this test is about, and what Miri's
    # emulation of weak memory stops at.
    MIRIFLAGS='-Zmiri-disable-isolation -Zmiri-disable-weak-memory-emulation' \
        cargo +nightly miri test -p memif-rs --lib queue::tests::scribbling
    unset CARGO_TARGET_DIR
}

loom() {
    heading "loom: publishing to a receiver that may sleep"
    RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR=$folder/loom cargo test --release -p shm signal
}

# Cargo with what is unstable allowed: nightly where it is installed, else the compiler that is there,
# which takes the same flags when it is told to.
unstable_cargo() {
    if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
        cargo +nightly "$@"
    else
        RUSTC_BOOTSTRAP=1 cargo "$@"
    fi
}

fuzz() {
    cargo fuzz --version >/dev/null 2>&1 || fail "the fuzzer is missing: cargo install cargo-fuzz"
    local target
    for target in memif_wire memif_handshake memif_ring stack_frames session_wire session_broker session_ring vpp_api_reply; do
        heading "Fuzzing $target for $seconds s"
        mkdir -p "tests/fuzz/corpus/$target"
        unstable_cargo fuzz run "$target" --fuzz-dir tests/fuzz \
            "tests/fuzz/corpus/$target" "tests/fuzz/seeds/$target" -- -max_total_time="$seconds"
    done
}

endurance() {
    heading "Endurance: the sessions suite with ten times as many connections and kills"
    DOCKERVPP_TEST_DEEP=1 scripts/test.sh sessions
}

for part in "${parts[@]}"; do "$part"; done
heading "No findings"
