//! The targets of the project, each held against what was measured.

use crate::judgement::ClaimResult;
#[cfg(test)]
use crate::judgement::Verdict;
use crate::result::Results;

/// One promise: the work, and the claims of benchmarks that tell whether it is kept.
#[derive(Debug, Clone, Copy)]
struct Target {
    work: &'static str,
    /// Benchmarks, and of each the claim about this subject and peer (`None`: about the subject alone).
    shown_by: &'static [(&'static str, &'static str, Option<&'static str>)],
}

/// A target and what the figures say, a line for each claim.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) work: &'static str,
    pub(crate) benchmark: &'static str,
    pub(crate) peer: &'static str,
    /// `None` when the benchmark was not run.
    pub(crate) claim: Option<ClaimResult>,
}

impl Row {
    #[cfg(test)]
    pub(crate) fn verdict(&self) -> Verdict {
        self.claim.as_ref().map_or(Verdict::NotMeasured, |it| it.verdict)
    }
}

const SESSIONS: &str = "dockervpp sessions";
const KERNEL: &str = "kernel TCP, Docker's bridge driver";
const VCL: &str = "VPP's VCL, preloaded";

const TARGETS: &[Target] = &[
    Target {
        work: "stream between two containers, unmodified iperf3",
        shown_by: &[
            ("session-stream", SESSIONS, Some(KERNEL)),
            ("session-stream", "dockervpp sessions, kind auto", Some(KERNEL)),
            ("session-stream", SESSIONS, Some(VCL)),
        ],
    },
    Target {
        work: "the same, beside programs written for VCL",
        shown_by: &[("session-stream", SESSIONS, Some("VPP's VCL, native cut-through"))],
    },
    Target {
        work: "stream / redis GET, 1 client, over VPP's TCP, beside VCL",
        shown_by: &[
            ("vpp-tcp-stream", "dockervpp sessions, tcp=vcl", Some(VCL)),
            ("vpp-tcp-redis-1", "dockervpp sessions, tcp=vcl", Some(VCL)),
        ],
    },
    Target {
        work: "stream over two network stacks and two switches",
        shown_by: &[(
            "session-stream-over-stacks",
            "dockervpp sessions over two network stacks",
            Some("two smoltcp stacks in one process"),
        )],
    },
    Target {
        work: "stream, share of what memory allows",
        shown_by: &[("session-stream", SESSIONS, Some("two threads copying through one ring"))],
    },
    Target {
        work: "64-byte round trip, unmodified sockperf",
        shown_by: &[
            ("session-ping-pong-p50", SESSIONS, Some(KERNEL)),
            ("session-ping-pong-p99", SESSIONS, Some(KERNEL)),
        ],
    },
    Target {
        work: "redis GET, 50 clients / pipelined 16",
        shown_by: &[
            ("session-redis-50", SESSIONS, Some(KERNEL)),
            ("session-redis-pipelined", SESSIONS, Some(KERNEL)),
        ],
    },
    Target {
        work: "redis GET, 50 clients / 1 client, beside VCL",
        shown_by: &[
            ("session-redis-50", SESSIONS, Some(VCL)),
            ("session-redis-1", SESSIONS, Some(VCL)),
        ],
    },
    Target {
        work: "memif 64 B one way, one queue",
        shown_by: &[
            ("memif-one-way-64", "memif-rs, client to server", Some("testpmd, client to server")),
            ("memif-one-way-64", "memif-rs, server to client", Some("testpmd, server to client")),
        ],
    },
    Target {
        work: "memif round trip, polling",
        shown_by: &[("memif-round-trip", "memif-rs", Some("testpmd"))],
    },
    Target {
        work: "memif → bridge → memif 64 B, one worker, both ways",
        shown_by: &[("bridge-64", "dockervpp bridge domain", Some("VPP L2 bridge domain"))],
    },
    Target {
        work: "idle agent, 100 endpoints",
        shown_by: &[("idle-agent-100", "dockervpp serve", None)],
    },
    Target {
        work: "docker run --rm … true",
        shown_by: &[
            ("docker-run", "dockervpp, kind auto", Some("--network none")),
            ("docker-run", "dockervpp, kind userspace", Some("--network none")),
        ],
    },
];

/// Every target, measured or not.
pub(crate) fn rows(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    for target in TARGETS {
        for &(benchmark, subject, peer) in target.shown_by {
            let what = peer.map_or_else(|| subject.to_owned(), |it| format!("{subject} / {it}"));
            let claims = results.benchmark(benchmark).map(|it| it.claims.iter());
            let claim = claims.and_then(|mut claims| claims.find(|it| it.what == what)).cloned();
            let peer = peer.unwrap_or("–");
            rows.push(Row { work: target.work, benchmark, peer, claim });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::Claim;
    use crate::catalogue::catalogue;
    use crate::fixture;

    #[test]
    fn what_was_not_run_is_not_measured() {
        let rows = rows(&fixture::results());
        assert!(rows.len() >= TARGETS.len());
        assert!(rows.iter().all(|it| it.verdict() == Verdict::NotMeasured));
    }

    #[test]
    fn every_target_is_a_claim_with_a_bound_in_the_catalogue() {
        let catalogue = catalogue();
        for &(name, subject, peer) in TARGETS.iter().flat_map(|it| it.shown_by) {
            let benchmark = catalogue.iter().find(|it| it.name == name);
            let benchmark = benchmark.unwrap_or_else(|| panic!("there is no {name}"));
            let is_it = |claim: &Claim| match claim {
                Claim::Ratio { subject: a, peer: b, bound: Some(_) } => {
                    a == subject && Some(b.as_str()) == peer
                }
                Claim::Value { subject: a, .. } => a == subject && peer.is_none(),
                _ => false,
            };
            assert!(benchmark.claims.iter().any(is_it), "{name}: {subject} / {peer:?}");
        }
    }
}
