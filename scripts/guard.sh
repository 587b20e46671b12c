#!/usr/bin/env bash
# The regression guard: instructions of the hot paths at two commits, counted by callgrind.
# Usage: guard.sh [BASE [HEAD]]   (the last commit and the one before it by default)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
need_cargo

base=${1:-HEAD~1}
head=${2:-HEAD}
heading "Instructions of the hot paths: $base and $head"
git rev-parse --verify --quiet "$base^{commit}" >/dev/null || {
    note "skipped: there is no commit $base here (a clone without history?)"
    exit 0
}
# valgrind is asked first: building the program only to say that it is absent takes minutes.
command -v valgrind >/dev/null || {
    note "skipped: valgrind is not here (scripts/setup.sh test brings it)"
    exit 0
}
cargo run --locked --quiet -p dockervpp-bench -- guard "$base" "$head"
