#!/usr/bin/env bash
# Installs the agent and the preload library, built for use. Usage: install.sh [PREFIX]
# PREFIX (default /usr/local) is where the command goes; the library goes where `dockervpp run` and
# `dockervpp cdi` look for it. DESTDIR, if set, is put in front of both, for packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

prefix=${1:-/usr/local}
destination=${DESTDIR:-}
need_cargo
cargo build --locked --release -p dockervpp
scripts/shim.sh
target="$(target_directory)"
run=as_root
[ -z "$destination" ] || run=
$run install -D -m 0755 "$target/release/dockervpp" "$destination$prefix/bin/dockervpp"
$run install -D -m 0644 "$target/shim/libvcl_shim.so" "$destination/usr/lib/dockervpp/libvcl_shim.so"
note "installed $destination$prefix/bin/dockervpp and $destination/usr/lib/dockervpp/libvcl_shim.so"
