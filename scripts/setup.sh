#!/usr/bin/env bash
# Brings what the demo or the suites need and this machine lacks; does nothing when all is there.
# Usage: setup.sh demo|test
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

purpose=${1:-test}
case "$purpose" in demo | test) ;; *) fail "usage: setup.sh demo|test" ;; esac

packages=()
want() { # want COMMAND PACKAGE
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || packages+=("$2")
}

static_busybox() { # the program that the test images are made of
    local program
    program=$(command -v busybox) && ! ldd "$program" >/dev/null 2>&1
}

net_driver() { # net_driver NAME: DPDK's driver, where testpmd looks for it
    compgen -G "/usr/lib/*/dpdk/pmds-*/librte_net_$1.so*" >/dev/null
}

# What virtual machines boot: Debian's kernel for clouds, unpacked and not installed.
guest_folder=/var/cache/dockervpp-test/kernel

guest_machine() { # whether guests are tested here
    [ "$purpose" = test ] && [ "$(uname -m)" = x86_64 ]
}

find_missing() {
    want cc gcc
    want docker docker.io
    want dockerd docker.io
    want ip iproute2
    want nft nftables
    want iptables iptables
    want ping iputils-ping
    want pkill procps
    static_busybox || packages+=(busybox-static)
    [ "$purpose" = test ] || return 0
    want tcpdump tcpdump
    want dpdk-testpmd dpdk-dev
    net_driver memif || packages+=(librte-net-memif)
    docker compose version >/dev/null 2>&1 || want docker-compose docker-compose
    # The package is tested as a service of it, in a container.
    [ -x /usr/lib/systemd/systemd ] || packages+=(systemd)
    # Where managed plugins are installed from.
    want docker-registry docker-registry
    # Front ends of vhost-user devices.
    net_driver virtio || packages+=(librte-net-virtio)
    # Unmodified programs for both ends of sessions.
    want curl curl
    want iperf3 iperf3
    want nc.openbsd netcat-openbsd
    want nginx nginx-light
    want redis-benchmark redis-tools
    want redis-server redis-server
    want sockperf sockperf
    want socat socat
    want wrk wrk
    # Debian's own: the suites put it into images, with its library.
    [ -d /usr/lib/python3 ] && [ -x /usr/bin/python3 ] || packages+=(python3)
    want musl-gcc musl-tools
    want openssl openssl
    # Virtual machines behind vhost-user devices, without KVM.
    ! guest_machine || want qemu-system-x86_64 qemu-system-x86
    # Counts instructions for the regression guard.
    want valgrind valgrind
}

# Names that differ between releases of Debian: DPDK's drivers carry its ABI in their names,
# and newer releases ship the docker command apart from the daemon.
resolve_names() {
    local i driver
    for i in "${!packages[@]}"; do
        case "${packages[i]}" in
            librte-net-*)
                driver=${packages[i]}
                packages[i]=$(apt-cache search --names-only "^${driver}[0-9]+\$" |
                    awk '{print $1}' | sort -V | tail -n 1)
                [ -n "${packages[i]}" ] ||
                    fail "this release has no $driver package; install that driver of DPDK by hand"
                ;;
            docker.io)
                if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
                ;;
        esac
    done
}

install_missing() {
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    command -v apt-get >/dev/null ||
        fail "missing here: ${packages[*]} (Debian's package names); this is no Debian, install them by hand"
    note "installing: ${packages[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    resolve_names
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

# Puts the kernel and the modules of its network device into the folder where the suites look.
bring_guest_kernel() {
    [ ! -f "$guest_folder/vmlinuz" ] || return 0
    command -v apt-get >/dev/null ||
        fail "no kernel for guests: put a vmlinuz and the modules that virtio_net.ko needs into $guest_folder"
    local package scratch
    scratch=$(mktemp -d)
    note "unpacking a kernel for guests into $guest_folder"
    [ "${#packages[@]}" -gt 0 ] || as_root apt-get update -qq
    package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ {print $2; exit}')
    [ -n "$package" ] || fail "this release has no linux-image-cloud-amd64"
    (cd "$scratch" && apt-get download -qq -o APT::Sandbox::User=root "$package" && dpkg-deb -x ./*.deb unpacked) ||
        fail "the package $package cannot be had"
    find "$scratch/unpacked" -name '*.ko.xz' -exec xz -d {} +
    as_root mkdir -p "$guest_folder"
    find "$scratch/unpacked" '(' -name 'virtio*.ko' -o -name '*failover.ko' -o -name dimlib.ko ')' -print0 |
        as_root xargs -0 cp -t "$guest_folder"
    # Last: what is there is whole.
    as_root cp "$scratch"/unpacked/boot/vmlinuz-* "$guest_folder/vmlinuz"
    rm -r "$scratch"
}

docker_answers() { as_root docker info; }

start_docker() {
    docker_answers >/dev/null 2>&1 && return
    note "starting the Docker daemon"
    if [ -d /run/systemd/system ]; then
        as_root systemctl start docker || fail "\`systemctl start docker\` failed; see \`journalctl -u docker\`"
    else
        as_root sh -c 'nohup dockerd >/var/log/dockerd.log 2>&1 </dev/null &'
    fi
    wait_for 60 "the Docker daemon answers" docker_answers || {
        as_root tail -n 20 /var/log/dockerd.log 2>/dev/null || true
        fail "the Docker daemon does not start here; start one (it may need a privileged machine) and run this again"
    }
}

check_host() {
    [ -c /dev/net/tun ] || as_root sh -c 'mkdir -p /dev/net && mknod /dev/net/tun c 10 200' 2>/dev/null || true
    as_root sh -c ': <>/dev/net/tun' 2>/dev/null ||
        fail "/dev/net/tun is missing or refused: \`modprobe tun\`, or give this machine the device"
}

heading "Setting up for: $purpose"
[ "$(uname -s)" = Linux ] || fail "this is a Linux program"
need_cargo
find_missing
[ "${#packages[@]}" -eq 0 ] || install_missing
! guest_machine || bring_guest_kernel
start_docker
check_host
note "ready: Docker $(as_root docker version --format '{{.Server.Version}}'), kernel $(uname -r), $(cargo --version)"
