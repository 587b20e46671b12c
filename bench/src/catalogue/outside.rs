//! Containers and the outside.

use super::single;
use crate::benchmark::{Abroad, Benchmark, Joint, Metric, Setup, Suite};

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
    ]
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
