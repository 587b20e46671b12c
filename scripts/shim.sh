#!/usr/bin/env bash
# Builds the preload library: target/shim/libvcl_shim.so, one file for every glibc and musl.
#
# It is linked against no C library (-nostdlib): what it uses of one is found in the program that loads
# it, without a version, so that the build machine's releases do not matter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
need_cargo
cargo rustc --locked -p vcl-shim --lib --profile shim --crate-type cdylib -- --cfg preload \
    -C link-arg=-nostdlib -C link-arg=-Wl,-z,now -C link-arg=-Wl,-soname,libvcl_shim.so
note "built target/shim/libvcl_shim.so"
