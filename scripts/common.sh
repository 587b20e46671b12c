#!/usr/bin/env bash
# Sourced by the other scripts: headings, failures, and how to become root.

heading() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
fail() {
    printf '\nerror: %s\n' "$*" >&2
    exit 1
}

# Runs a command as root: as it is, or through sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "\`$*\` needs root and there is no sudo; run this script as root"
    fi
}

# Waits until a command succeeds: wait_for SECONDS WHAT COMMAND...
wait_for() {
    local seconds=$1 what=$2
    shift 2
    local deadline=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || {
            printf 'error: %s: not after %s s\n' "$what" "$seconds" >&2
            return 1
        }
        sleep 0.1
    done
}

need_cargo() {
    command -v cargo >/dev/null || {
        # rustup installs here; a root shell started by sudo may not have it on its path.
        [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
    }
    command -v cargo >/dev/null || fail "cargo is missing; install Rust with https://rustup.rs and run this again"
}

# Where cargo builds.
target_directory() {
    cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# Sets `program` and `shim`, the agent and the preload library: those of a folder, DIR/dockervpp and
# DIR/../shim/libvcl_shim.so, or, without one, those that it builds for use. take_programs [DIR]
take_programs() {
    local from=$1 file
    if [ -z "$from" ]; then
        need_cargo
        cargo build --locked --release -p dockervpp
        scripts/shim.sh
        from="$(target_directory)/release"
    fi
    program=$from/dockervpp shim=$from/../shim/libvcl_shim.so
    for file in "$program" "$shim"; do
        [ -f "$file" ] || fail "$file does not exist"
    done
}
