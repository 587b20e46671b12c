//! Every benchmark, as data.

use crate::benchmark::{
    Attachment, Benchmark, Bound, Claim, Contestant, Direction, Metric, Party, Program, Setup,
};

use Direction::{ClientToServer, ServerToClient};
use Party::{Peer, Subject};
use Program::{Ours, Testpmd};

const OURS_TO_SERVER: &str = "memif-rs, client to server";
const OURS_TO_CLIENT: &str = "memif-rs, server to client";
const TESTPMD_TO_SERVER: &str = "testpmd, client to server";
const TESTPMD_TO_CLIENT: &str = "testpmd, server to client";
const OUR_BRIDGE: &str = "dockervpp bridge domain";
const VPP_BRIDGE: &str = "VPP 26.06 L2 bridge domain";
const VPP_ABSENT: Setup = Setup::Absent { reason: "this suite does not drive VPP yet" };
const NO_NETWORK: &str = "--network none";
const DOCKER_BRIDGE: &str = "Docker's bridge driver";
const KIND_AUTO: &str = "dockervpp, kind auto";
const KIND_USERSPACE: &str = "dockervpp, kind userspace";

/// What `list` lists and `run` runs.
pub(crate) const CATALOGUE: &[Benchmark] = &[
    Benchmark {
        name: "memif-one-way-64",
        about: "64-byte frames from one process to another: one queue, ring of 1024, batches of 32, both \
                polling, one copy in and one copy out into private memory; counted by the receiver. \
                testpmd (txonly, rxonly) moreover writes 42 bytes of headers into each frame and \
                manages a packet pool.",
        metric: Metric::Mpps,
        contestants: &one_way(64),
        claims: &one_way_claims(2.0),
    },
    Benchmark {
        name: "memif-one-way-1518",
        about: "The same with 1518-byte frames.",
        metric: Metric::Mpps,
        contestants: &one_way(1518),
        claims: &one_way_claims(1.3),
    },
    Benchmark {
        name: "memif-round-trip",
        about: "One 64-byte frame that two polling processes send back to each other; each copies it out and \
                in. The mean of all rounds of a run.",
        metric: Metric::Microseconds,
        contestants: &[
            Contestant {
                name: "memif-rs",
                party: Subject,
                setup: Setup::RoundTrip { program: Ours, length: 64 },
            },
            Contestant {
                name: "testpmd",
                party: Peer,
                setup: Setup::RoundTrip { program: Testpmd, length: 64 },
            },
        ],
        claims: &[Claim::Ratio {
            subject: "memif-rs",
            peer: "testpmd",
            bound: Some(Bound::AtMost(0.5)),
        }],
    },
    Benchmark {
        name: "bridge-64",
        about: "Two memif clients, driven by one thread, send 64-byte frames to each other through a bridge \
                domain with one worker on the other core; frames delivered, both ways together. The cost \
                of a frame is the worker's CPU time, its polling included.",
        metric: Metric::Mpps,
        contestants: &bridge(64),
        claims: &[BRIDGE_CLAIM],
    },
    Benchmark {
        name: "bridge-1518",
        about: "The same with 1518-byte frames.",
        metric: Metric::Mpps,
        contestants: &bridge(1518),
        claims: &[BRIDGE_CLAIM],
    },
    Benchmark {
        name: "idle-agent-100",
        about: "CPU time of the agent (all threads) while 100 containers, started by Docker on one network of \
                kind auto (a TAP and a memif listener each), do nothing.",
        metric: Metric::PercentOfCore,
        contestants: &[
            Contestant {
                name: "dockervpp serve",
                party: Subject,
                setup: Setup::IdleAgent { endpoints: 100 },
            },
            Contestant { name: "VPP 26.06", party: Peer, setup: VPP_ABSENT },
        ],
        claims: &[Claim::Value { subject: "dockervpp serve", bound: Bound::Below(0.5) }],
    },
    Benchmark {
        name: "docker-run",
        about: "`docker run --rm --network … busybox true`, from start to finish.",
        metric: Metric::Seconds,
        contestants: &[
            docker_run(NO_NETWORK, Peer, Attachment::Nothing),
            docker_run(DOCKER_BRIDGE, Peer, Attachment::Bridge),
            docker_run(KIND_AUTO, Subject, Attachment::Ours("auto")),
            docker_run(KIND_USERSPACE, Subject, Attachment::Ours("userspace")),
        ],
        claims: &[
            ratio(KIND_AUTO, NO_NETWORK, Some(Bound::AtMost(1.1))),
            ratio(KIND_USERSPACE, NO_NETWORK, Some(Bound::AtMost(1.1))),
            ratio(KIND_AUTO, DOCKER_BRIDGE, None),
            ratio(KIND_USERSPACE, DOCKER_BRIDGE, None),
        ],
    },
];

const BRIDGE_CLAIM: Claim = ratio(OUR_BRIDGE, VPP_BRIDGE, Some(Bound::AtLeast(1.5)));

const fn one_way(length: u16) -> [Contestant; 4] {
    const fn contestant(
        name: &'static str,
        party: Party,
        program: Program,
        direction: Direction,
        length: u16,
    ) -> Contestant {
        Contestant { name, party, setup: Setup::OneWay { program, direction, length } }
    }
    [
        contestant(OURS_TO_SERVER, Subject, Ours, ClientToServer, length),
        contestant(TESTPMD_TO_SERVER, Peer, Testpmd, ClientToServer, length),
        contestant(OURS_TO_CLIENT, Subject, Ours, ServerToClient, length),
        contestant(TESTPMD_TO_CLIENT, Peer, Testpmd, ServerToClient, length),
    ]
}

const fn one_way_claims(factor: f64) -> [Claim; 2] {
    [
        ratio(OURS_TO_SERVER, TESTPMD_TO_SERVER, Some(Bound::AtLeast(factor))),
        ratio(OURS_TO_CLIENT, TESTPMD_TO_CLIENT, Some(Bound::AtLeast(factor))),
    ]
}

const fn bridge(length: u16) -> [Contestant; 2] {
    [
        Contestant { name: OUR_BRIDGE, party: Subject, setup: Setup::Bridge { length } },
        Contestant { name: VPP_BRIDGE, party: Peer, setup: VPP_ABSENT },
    ]
}

const fn docker_run(name: &'static str, party: Party, attachment: Attachment) -> Contestant {
    Contestant { name, party, setup: Setup::DockerRun { attachment } }
}

const fn ratio(subject: &'static str, peer: &'static str, bound: Option<Bound>) -> Claim {
    Claim::Ratio { subject, peer, bound }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_claims_name_contestants() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for benchmark in CATALOGUE {
            let names: BTreeSet<_> = benchmark.contestants.iter().map(|it| it.name).collect();
            assert_eq!(names.len(), benchmark.contestants.len(), "{}", benchmark.name);
            for claim in benchmark.claims {
                let named = match claim {
                    Claim::Ratio { subject, peer, .. } => vec![*subject, *peer],
                    Claim::Value { subject, .. } => vec![*subject],
                };
                assert!(named.iter().all(|it| names.contains(it)), "{}: {claim:?}", benchmark.name);
            }
        }
    }
}
