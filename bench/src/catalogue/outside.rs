//! Containers and the outside: the host, who is behind it, and containers of other hosts.

use super::single;
use crate::benchmark::{Abroad, Benchmark, Joint, Metric, Overlay, Setup, Suite};

const SESSION: &str = "dockervpp sessions";
const TAP: &str = "dockervpp, TAP";
const DOCKER_BRIDGE: &str = "Docker's bridge driver";

const SESSIONS: Joint = Joint::Ours { attach: "userspace", server: true, client: true };
const KERNEL: Joint = Joint::Ours { attach: "auto", server: false, client: false };

pub(super) fn all() -> Vec<Benchmark> {
    vec![
        beside_docker(
            "published-web",
            Metric::ThousandPerSecond,
            "wrk on the host, one thread and 50 connections that stay, asking nginx with one worker in a \
             container for a page of 612 bytes, by a published port at an address of the host. The host's \
             kernel translates addresses for Docker's bridge driver and for the TAP; the agent splices \
             the connections into sessions.",
            Abroad::Published { connections: 50, timed: false },
        ),
        beside_docker(
            "published-latency",
            Metric::Microseconds,
            "The same on one connection: the median time of a request.",
            Abroad::Published { connections: 1, timed: true },
        ),
        beside_docker(
            "outside-stream",
            Metric::GigabitsPerSecond,
            "iperf3, one TCP stream from a container to a network namespace behind the host, by the \
             gateway and the host's masquerade; as the receiver counts it.",
            Abroad::Stream,
        ),
        other_host(),
    ]
}

fn other_host() -> Benchmark {
    const KERNEL: &str = "the kernel's vxlan and bridge";
    let about = "iperf3, one TCP stream from a container on one host to one on another, by VXLAN over UDP and an \
         MTU of 1450; as the receiver counts it. The hosts are network namespaces that a veth pair joins: \
         with an agent in each, or with the kernel's own vxlan device on a bridge.";
    let hosts = |overlay| Setup::Hosts { overlay, link: 1500 };
    let ours = |attach, shim| hosts(Overlay::Ours { attach, shim });
    single("vxlan-stream", Metric::GigabitsPerSecond, Suite::Quick, about)
        .subject(SESSION, ours("userspace", true))
        .subject(TAP, ours("auto", false))
        .peer(KERNEL, hosts(Overlay::Kernel))
        .shown(SESSION, KERNEL)
        .shown(TAP, KERNEL)
}

fn beside_docker(name: &'static str, metric: Metric, about: &str, work: Abroad) -> Benchmark {
    let of = |joint| Setup::Outside { work, joint };
    single(name, metric, Suite::Quick, about)
        .subject(SESSION, of(SESSIONS))
        .subject(TAP, of(KERNEL))
        .peer(DOCKER_BRIDGE, of(Joint::DockerBridge))
        .shown(SESSION, DOCKER_BRIDGE)
        .shown(TAP, DOCKER_BRIDGE)
}
