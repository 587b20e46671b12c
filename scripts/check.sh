#!/usr/bin/env bash
# Format, lints, documentation, the architecture's rules. Needs no root and no network.
# Usage: check.sh [--install-deny]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
need_cargo

heading "Format"
cargo fmt --all --check

heading "Lints"
cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

heading "Documentation"
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features --locked --quiet

heading "Layout and licences"
cargo test --locked --quiet -p tests --test layout

if [ "${1:-}" = --install-deny ] && ! command -v cargo-deny >/dev/null; then
    heading "Installing cargo-deny (compiles for some minutes)"
    cargo install --locked --quiet cargo-deny
fi
if command -v cargo-deny >/dev/null; then
    heading "cargo-deny"
    cargo deny --locked --all-features check bans licenses sources
fi

if command -v shellcheck >/dev/null; then
    heading "Shell scripts"
    shellcheck -x .ci/run scripts/*.sh packaging/debian/{postinst,prerm,postrm}
fi
heading "All checks passed"
