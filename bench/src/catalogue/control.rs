//! The control plane, and what an agent costs.

use super::{point, single};
use crate::benchmark::{Attachment, Benchmark, Bound, Claim, Metric, PeerKind, Setup, Suite};

const NO_NETWORK: &str = "--network none";
const DOCKER_BRIDGE: &str = "Docker's bridge driver";
const AUTO: &str = "dockervpp, kind auto";
const USERSPACE: &str = "dockervpp, kind userspace";
const AGENT: &str = "dockervpp serve";

pub(super) fn all() -> Vec<Benchmark> {
    let mut all = vec![idle_agent(), docker_run()];
    let endpoints =
        [(1, Suite::Quick), (10, Suite::Full), (100, Suite::Quick), (1000, Suite::Full)];
    all.extend(endpoints.map(|(endpoints, suite)| time_of_an_endpoint(endpoints, suite)));
    let endpoints = [(0, Suite::Quick), (100, Suite::Quick), (1000, Suite::Full)];
    all.extend(endpoints.map(|(endpoints, suite)| footprint(endpoints, suite)));
    all
}

fn idle_agent() -> Benchmark {
    single(
        "idle-agent-100",
        Metric::PercentOfCore,
        Suite::Full,
        "CPU time of the agent (all threads) while 100 containers, started by Docker on one network of \
         kind auto (a TAP and a memif listener each), do nothing.",
    )
    .subject(AGENT, Setup::IdleAgent { endpoints: 100 })
    .peer(
        "VPP",
        Setup::Absent {
            peer: PeerKind::Vpp,
            reason: "a VPP whose main thread polls takes 100 % by design; nothing is measured",
        },
    )
    .claim(Claim::Value { subject: AGENT.to_owned(), bound: Bound::Below(0.5) })
}

fn docker_run() -> Benchmark {
    let of = |attachment| Setup::DockerRun { attachment };
    single(
        "docker-run",
        Metric::Seconds,
        Suite::Quick,
        "`docker run --rm --network … busybox true`, from start to finish.",
    )
    .peer(NO_NETWORK, of(Attachment::Nothing))
    .peer(DOCKER_BRIDGE, of(Attachment::Bridge))
    .subject(AUTO, of(Attachment::Ours("auto")))
    .subject(USERSPACE, of(Attachment::Ours("userspace")))
    .ratio(AUTO, NO_NETWORK, Bound::AtMost(1.1))
    .ratio(USERSPACE, NO_NETWORK, Bound::AtMost(1.1))
    .shown(AUTO, DOCKER_BRIDGE)
    .shown(USERSPACE, DOCKER_BRIDGE)
}

fn time_of_an_endpoint(endpoints: u32, suite: Suite) -> Benchmark {
    point(
        "endpoint-time",
        "endpoints that are there",
        endpoints,
        Metric::Milliseconds,
        suite,
        "The time to make an endpoint and join it to a namespace (CreateEndpoint and Join), as Docker asks \
         for it over the driver's socket but without Docker: the median of ten more, on a network that has \
         so many already.",
    )
    .subject(AUTO, Setup::Endpoints { attach: "auto", endpoints })
    .subject(USERSPACE, Setup::Endpoints { attach: "userspace", endpoints })
}

fn footprint(endpoints: u32, suite: Suite) -> Benchmark {
    let of = |attach| Setup::Footprint { attach, endpoints };
    point(
        "agent-memory",
        "endpoints",
        endpoints,
        Metric::Mebibytes,
        suite,
        "Resident memory of an agent with so many endpoints, made over the driver's socket without Docker, \
         while nothing happens; its CPU time is among the details.",
    )
    .subject(AUTO, of("auto"))
    .subject(USERSPACE, of("userspace"))
}
