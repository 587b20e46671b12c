#!/usr/bin/env bash
# Makes a Debian package: dist/dockervpp_VERSION_ARCH.deb. Needs no root.
# Usage: deb.sh [--from DIR] [--version VERSION] [--output DIR]
#   --from DIR         take DIR/dockervpp and DIR/../shim/libvcl_shim.so instead of building them for use
#   --version VERSION  the package's version (default: that of Cargo.toml, and -1)
#   --output DIR       where the package goes (default: dist)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

from='' version='' output=dist
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value"
    case "$1" in
        --from) from=$2 ;;
        --version) version=$2 ;;
        --output) output=$2 ;;
        *) fail "usage: deb.sh [--from DIR] [--version VERSION] [--output DIR]" ;;
    esac
    shift 2
done
for tool in dpkg-deb dpkg-architecture objdump gzip; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install dpkg-dev binutils gzip"
done
take_programs "$from"
own=$("$program" --version | cut -d' ' -f2)
version=${version:-$own-1}
architecture=$(dpkg-architecture -qDEB_HOST_ARCH)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 0755 "$root"
put() { install -D -m "$1" "$2" "$root/$3"; }

put 0755 "$program" usr/bin/dockervpp
[ ! -x "$(command -v strip)" ] || strip --strip-debug "$root/usr/bin/dockervpp"
put 0644 "$shim" usr/lib/dockervpp/libvcl_shim.so
put 0644 packaging/dockervpp.service usr/lib/systemd/system/dockervpp.service
install -d -m 0755 "$root/etc/dockervpp"
"$program" config sample >"$root/etc/dockervpp/config.toml"
chmod 0644 "$root/etc/dockervpp/config.toml"

man=$root/usr/share/man/man1
install -d -m 0755 "$man" "$root/usr/share/bash-completion/completions" \
    "$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
"$program" man "$man"
gzip -9n "$man"/*.1
"$program" completions bash >"$root/usr/share/bash-completion/completions/dockervpp"
"$program" completions zsh >"$root/usr/share/zsh/vendor-completions/_dockervpp"
"$program" completions fish >"$root/usr/share/fish/vendor_completions.d/dockervpp.fish"

doc=usr/share/doc/dockervpp
put 0644 packaging/debian/copyright $doc/copyright
put 0644 LICENSE-MIT $doc/LICENSE-MIT
put 0644 CHANGELOG.md $doc/changelog
gzip -9n "$root/$doc/changelog"

# The newest release of glibc whose symbols the program names.
glibc=$(objdump -T "$program" | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -Vu | tail -n 1)
install -d -m 0755 "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: dockervpp
Version: $version
Architecture: $architecture
Maintainer: The dockervpp maintainers <maintainers@dockervpp.invalid>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: libc6 (>= ${glibc:-2.31}), libgcc-s1, init-system-helpers (>= 1.54), nftables
Recommends: iptables
Suggests: docker.io | docker-ce, vpp
Section: net
Priority: optional
Homepage: https://github.com/dockervpp/dockervpp
Description: Docker network driver with its data path in user space
 Containers of a dockervpp network exchange frames through memif rings and an
 L2 switch in one agent, and unmodified programs speak over shared memory
 instead of TCP by a preload library. FD.io VPP can take the switch's place.
CONTROL
echo /etc/dockervpp/config.toml >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 0755 "packaging/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod 0644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums"

mkdir -p "$output"
package=$output/dockervpp_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
note "made $package"
