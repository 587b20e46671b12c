#!/usr/bin/env bash
# Makes a managed plugin of Docker's: dist/plugin, for `docker plugin create`. Needs no root.
# Usage: plugin.sh [--from DIR] [--output DIR]
#   --from DIR    take DIR/dockervpp and DIR/../shim/libvcl_shim.so instead of building them for use
#   --output DIR  where the plugin goes (default: dist/plugin); what is there is replaced
#
# In its root directory are the agent, the preload library, and what the agent runs (`nft`, `iptables`), with the
# libraries that these have here: the plugin needs nothing of the host but its kernel.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

from='' output=dist/plugin
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value"
    case "$1" in
        --from) from=$2 ;;
        --output) output=$2 ;;
        *) fail "usage: plugin.sh [--from DIR] [--output DIR]" ;;
    esac
    shift 2
done
PATH="$PATH:/usr/sbin:/sbin"
for tool in ldd nft xtables-nft-multi xtables-legacy-multi; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install libc-bin nftables iptables"
done
take_programs "$from"
if [ -e "$output" ] && [ -n "$(ls -A "$output")" ] && [ ! -f "$output/config.json" ]; then
    fail "$output is not empty and no plugin: name another folder with --output"
fi
rm -rf "$output"
mkdir -p "$output/rootfs"
root=$(realpath "$output/rootfs")
put() { install -D -m "$1" "$2" "$root/$3"; }

# The libraries of a program, and the loader, where the program looks for them.
put_libraries() {
    local library
    ldd "$1" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p' |
        while read -r library; do
            [ -e "$root$library" ] || put 0755 "$(realpath "$library")" "$library"
        done
}

put 0755 "$program" usr/bin/dockervpp
[ ! -x "$(command -v strip)" ] || strip --strip-debug "$root/usr/bin/dockervpp"
put_libraries "$program"
put 0644 "$shim" usr/lib/dockervpp/libvcl_shim.so

for tool in nft xtables-nft-multi xtables-legacy-multi; do
    put 0755 "$(command -v "$tool")" "usr/sbin/$tool"
    put_libraries "$(command -v "$tool")"
done
# The agent takes the form that the host's iptables has.
for name in iptables ip6tables; do
    for form in nft legacy; do
        for verb in '' -restore; do
            ln -s "xtables-$form-multi" "$root/usr/sbin/$name-$form$verb"
        done
    done
done
# What rules can match: without, rules of others could not even be read.
extensions=$(dirname "$(find /usr/lib /lib -path '*/xtables/libxt_conntrack.so' -print -quit)")
[ -f "$extensions/libxt_conntrack.so" ] || fail "the extensions of iptables are not in /usr/lib/*/xtables"
for extension in "$extensions"/lib{xt,ipt,ip6t}_*.so; do
    put 0644 "$(realpath "$extension")" "$extension"
done
# These programs are under the GPL.
for package in nftables iptables; do
    if [ -f "/usr/share/doc/$package/copyright" ]; then
        put 0644 "/usr/share/doc/$package/copyright" "usr/share/doc/$package/copyright"
    fi
done
for file in LICENSE-MIT LICENSE-APACHE; do put 0644 "$file" "usr/share/doc/dockervpp/$file"; done

put 0644 packaging/plugin/config.toml etc/dockervpp/config.toml
"$program" config check packaging/plugin/config.toml >/dev/null || fail "packaging/plugin/config.toml cannot be used"
# Docker mounts these.
install -d -m 0755 "$root"/{run/docker/plugins,host/run,var/lib/dockervpp,proc,sys,dev,tmp}
install -m 0644 packaging/plugin/config.json "$output/config.json"
note "made $output: docker plugin create dockervpp $output"
