#!/usr/bin/env bash
# From nothing to packets: two containers over memif, an ordinary one beside them, and Docker's own
# bridge for comparison. Removes all that it made; ends with an error if any part failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

readonly SECONDS_EACH=3 # of each measurement
readonly MEMIF='connect:@dockervpp/memif'
readonly driver="dockervpp-demo-$$"
readonly fast="$driver-fast" plain="$driver-plain"
work=$(mktemp -d)
agent=

docker() { as_root env docker "$@"; }
inside() { docker exec "$@"; }

# listens NAME FLAG PORT: whether the container has such a socket (netstat's -u or -t)
listens() { inside "$driver-$1" netstat -ln "$2" | grep -q ":$3 "; }

# One field of one object in a line of JSON: field NAME <line
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p" | tail -n 1; }
mpps() { awk -v n="$1" 'BEGIN { printf "%.2f Mpps", n / 1e6 }'; }

cleanup() {
    local status=$?
    trap - EXIT
    heading "Cleaning up"
    local name left=0
    for name in one two busy web kone ktwo; do
        docker rm -f "$driver-$name" >/dev/null 2>&1 || true
    done
    for name in "$fast" "$plain"; do
        if docker network inspect "$name" >/dev/null 2>&1; then
            docker network rm "$name" >/dev/null || left=1
        fi
    done
    if [ -n "$agent" ]; then
        # Not by $agent: that is the shell (or sudo) which started it.
        as_root pkill -TERM -f -- "--plugin-socket /run/docker/plugins/$driver.sock" || true
        wait "$agent" 2>/dev/null || true
        if pgrep -f -- "--plugin-socket /run/docker/plugins/$driver.sock" >/dev/null; then left=1; fi
    fi
    as_root rm -rf "$work" "/run/docker/plugins/$driver.sock"
    if [ "$status" -ne 0 ]; then
        [ ! -f "$work.log" ] || tail -n 30 "$work.log" >&2
        printf '\nThe demo FAILED (status %s).\n' "$status" >&2
    elif [ "$left" -ne 0 ]; then
        printf '\nThe demo left something behind.\n' >&2
        status=1
    else
        note "containers, networks, agent: all gone"
        printf '\nThe demo succeeded in %s s, compiling included.\n' "$SECONDS"
    fi
    rm -f "$work.log"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

build() {
    heading "Building (a few minutes the first time)"
    cargo build --locked --release -p dockervpp -p memif-rs -p session -p kit --bins --examples
    target=$(target_directory)/release
    # `docker import` of the host's own files: nothing is pulled from anywhere.
    image=$(as_root env DOCKERVPP_TEST_BINARIES="$target" "$target/kit-image" examples)
    ordinary=$(as_root env DOCKERVPP_TEST_BINARIES="$target" "$target/kit-image" busybox)
    note "images made of files of this host: $image, $ordinary"
}

dockervpp() { as_root "$target/dockervpp" "$@" --control-socket "$work/control.sock"; }

start_agent() {
    heading "Starting the agent"
    note "dockervpp serve (as driver $driver, beside any agent that runs here already)"
    as_root mkdir -p /run/docker/plugins
    as_root "$target/dockervpp" serve --config /dev/null --plugin-socket "/run/docker/plugins/$driver.sock" \
        --control-socket "$work/control.sock" --state-dir "$work/state" >"$work.log" 2>&1 &
    agent=$!
    wait_for 20 "the agent answers" dockervpp show networks
}

idle() { # idle NAME NETWORK IMAGE
    docker run -d --name "$driver-$1" --network "$2" "$3" sleep 100000 >/dev/null
}
address() { # address NAME KEY: what Docker says of the container's only network
    docker inspect -f "{{range .NetworkSettings.Networks}}{{.$2}}{{end}}" "$driver-$1"
}

create_network() {
    heading "A network and two containers"
    note "docker network create -d $driver $fast"
    docker network create -d "$driver" "$fast" >/dev/null
    idle one "$fast" "$image"
    idle two "$fast" "$image"
    note "what a container reads from @dockervpp/info:"
    wait_for 10 "the info socket" docker exec "$driver-one" netprobe info
    inside "$driver-one" netprobe info | sed 's/^/   /'
}

owned_by_memif() { # owned_by_memif NAME
    dockervpp show endpoints | grep -F "$(address "$1" EndpointID | cut -c 1-12)" | grep -qw memif
}

memif_rate() { # memif_rate SIZE
    local own to receiver sent received
    own=$(address one MacAddress)
    to=$(address two MacAddress)
    inside "$driver-two" traffic "$MEMIF" receive --check number --sleep --json \
        --seconds $((SECONDS_EACH + 4)) >"$work/received" 2>>"$work.log" &
    receiver=$!
    wait_for 10 "the receiver is connected" owned_by_memif two
    sent=$(inside "$driver-one" traffic "$MEMIF" send --size "$1" --seconds "$SECONDS_EACH" \
        --src "$own" --dst "$to" --json 2>>"$work.log" | field sent_per_second)
    # Status 2 says that frames were lost: a full ring drops, and the counters below say how many.
    wait "$receiver" || [ $? -eq 2 ] || fail "the receiver failed"
    received=$(field received_per_second <"$work/received")
    [ "${received:-0}" -gt 0 ] || fail "nothing arrived over memif"
    [ "$(field damaged <"$work/received")" -eq 0 ] || fail "frames were damaged"
    note "$1 bytes: sent $(mpps "$sent"), received $(mpps "$received")"
}

packets() {
    heading "Packets: memif - bridge - memif, one worker, $SECONDS_EACH s each"
    memif_rate 64
    memif_rate 1514
}

ping_time() { # ping_time FROM TO-ADDRESS
    inside "$driver-$1" ping -c 20 -i 0.1 -W 2 "$2" | sed -n 's/^round-trip.*= /round trip (ms) min\/avg\/max: /p'
}

neighbours() {
    heading "An ordinary container, and a packet program that answers it"
    idle busy "$fast" "$ordinary"
    note "busybox on $fast pings the gateway"
    inside "$driver-busy" ping -c 3 -i 0.2 -W 2 "$(docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' "$fast")" |
        sed 's/^/   /'
    inside "$driver-one" ping_responder "$MEMIF" "$(address one IPAddress)" \
        --mac "$(address one MacAddress)" >>"$work.log" 2>&1 &
    wait_for 10 "the packet program is connected" owned_by_memif one
    note "and the container whose address a memif program owns"
    inside "$driver-busy" ping -c 3 -i 0.2 -W 2 "$(address one IPAddress)" | sed 's/^/   /'
    heading "What the agent saw"
    dockervpp show endpoints
    echo
    dockervpp show counters
    inside "$driver-one" killall ping_responder
}

rates() { # rates FROM TO: the same programs on either network
    local to sink megabytes=400
    to=$(address "$2" IPAddress)
    note "$(ping_time "$1" "$to")"
    inside "$driver-$2" netprobe sink 5000 "$SECONDS_EACH" >"$work/sink" &
    sink=$!
    wait_for 10 "the sink listens" listens "$2" -u 5000
    inside "$driver-$1" netprobe flood "$to:5000" "$SECONDS_EACH" 18 >/dev/null
    wait "$sink"
    note "UDP, 60-byte frames: received $(mpps "$(field per_second <"$work/sink")")"
    inside "$driver-$2" netprobe serve 5001 $megabytes >/dev/null &
    wait_for 10 "the server listens" listens "$2" -t 5001
    inside "$driver-$1" netprobe fetch "$to:5001" >"$work/fetch"
    wait $!
    note "TCP, one stream: $(awk -v s="$(field seconds <"$work/fetch")" -v m=$megabytes \
        'BEGIN { printf "%.1f Gbit/s", m * 8.388608 / 1000 / s }')"
}

comparison() {
    heading "Ordinary programs: through this agent (TAP)"
    rates one two
    heading "The same programs on Docker's own bridge (veth)"
    docker network create "$plain" >/dev/null
    idle kone "$plain" "$image"
    idle ktwo "$plain" "$image"
    rates kone ktwo
}

scripts/setup.sh demo
need_cargo
build
start_agent
create_network
packets
neighbours
comparison
