#!/usr/bin/env bash
# Manual pages and shell completions, written by the program itself. Usage: dist.sh man|completions
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
need_cargo

cargo build --locked --quiet -p dockervpp
program=$(target_directory)/debug/dockervpp
case "${1:-}" in
    man)
        mkdir -p dist/man
        "$program" man dist/man
        ;;
    completions)
        mkdir -p dist/completions
        for shell in bash zsh fish; do
            "$program" completions "$shell" >"dist/completions/dockervpp.$shell"
        done
        ;;
    *) fail "usage: dist.sh man|completions" ;;
esac
ls -l "dist/$1"
