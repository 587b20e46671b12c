//! Every benchmark, as data.

mod control;
mod frames;
mod neighbours;
mod outside;
mod programs;
mod self_test;
mod sockets;
mod vpp_tcp;

use crate::benchmark::{Benchmark, Bound, Claim, Contestant, Metric, Party, Scale, Setup, Suite};

/// What `list` lists and `run` runs.
pub(crate) fn catalogue() -> Vec<Benchmark> {
    let parts = [
        frames::memif(),
        frames::bridge(),
        sockets::all(),
        programs::all(),
        vpp_tcp::all(),
        outside::all(),
        neighbours::all(),
        control::all(),
        self_test::all(),
    ];
    parts.into_iter().flatten().collect()
}

/// A benchmark that is no point of a curve.
fn single(name: &'static str, metric: Metric, suite: Suite, about: &str) -> Benchmark {
    Benchmark {
        name: name.to_owned(),
        family: name,
        scale: None,
        about: about.to_owned(),
        metric,
        suite,
        contestants: Vec::new(),
        claims: Vec::new(),
    }
}

/// The point of a curve at `at`.
fn point(
    family: &'static str,
    axis: &str,
    at: u32,
    metric: Metric,
    suite: Suite,
    about: &str,
) -> Benchmark {
    let scale = Scale { axis: axis.to_owned(), at: f64::from(at) };
    let name = format!("{family}-{at}");
    Benchmark { name, scale: Some(scale), ..single(family, metric, suite, about) }
}

impl Benchmark {
    fn subject(self, name: &str, setup: Setup) -> Self {
        self.with(name, Party::Subject, setup)
    }

    fn peer(self, name: &str, setup: Setup) -> Self {
        self.with(name, Party::Peer, setup)
    }

    fn with(mut self, name: &str, party: Party, setup: Setup) -> Self {
        self.contestants.push(Contestant { name: name.to_owned(), party, setup });
        self
    }

    /// Claims the ratio of two medians.
    fn ratio(mut self, subject: &str, peer: &str, bound: Bound) -> Self {
        let (subject, peer) = (subject.to_owned(), peer.to_owned());
        self.claims.push(Claim::Ratio { subject, peer, bound: Some(bound) });
        self
    }

    /// Shows the ratio of two medians.
    fn shown(mut self, subject: &str, peer: &str) -> Self {
        let (subject, peer) = (subject.to_owned(), peer.to_owned());
        self.claims.push(Claim::Ratio { subject, peer, bound: None });
        self
    }

    fn claim(mut self, claim: Claim) -> Self {
        self.claims.push(claim);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_claims_name_contestants() {
        let catalogue = catalogue();
        let names: BTreeSet<_> = catalogue.iter().map(|it| &it.name).collect();
        assert_eq!(names.len(), catalogue.len());
        for benchmark in &catalogue {
            let names: BTreeSet<_> = benchmark.contestants.iter().map(|it| &it.name).collect();
            assert_eq!(names.len(), benchmark.contestants.len(), "{}", benchmark.name);
            let own = benchmark.contestants.iter().any(|it| it.party == Party::Subject);
            assert!(own, "{} measures nothing of ours", benchmark.name);
            for claim in &benchmark.claims {
                let named = match claim {
                    Claim::Ratio { subject, peer, .. }
                    | Claim::Difference { subject, peer, .. } => {
                        vec![subject, peer]
                    }
                    Claim::Value { subject, .. } | Claim::Detail { subject, .. } => vec![subject],
                };
                assert!(named.iter().all(|it| names.contains(it)), "{}: {claim:?}", benchmark.name);
            }
        }
    }

    #[test]
    fn the_points_of_a_curve_have_one_axis_and_one_metric() {
        let catalogue = catalogue();
        for one in &catalogue {
            for other in catalogue.iter().filter(|it| it.family == one.family) {
                assert_eq!(one.metric, other.metric, "{}", one.family);
                let axis = |it: &Benchmark| it.scale.as_ref().map(|it| it.axis.clone());
                assert_eq!(axis(one), axis(other), "{}", one.family);
            }
        }
    }
}
