//! What Docker verifiably no longer has. Pure.
//!
//! A network or endpoint of ours is forgotten only if all of this holds:
//!
//! * Docker has not named it for the [grace](Rules::grace): one that was just made is answered to
//!   Docker before Docker stores it, and a call that an agent's death cut short is repeated for
//!   about 15 seconds (`defaultTimeOut` in `pkg/plugins/client.go` of moby).
//! * The same daemon was seen without it in two looks, at least [apart](Rules::apart) from each
//!   other, and in every look between them.
//! * No container runs on a network that this Docker does not list. Docker never lets such a network
//!   go, so then another engine uses this driver as well, and nothing at all is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::model::{EndpointId, NetworkId};

/// The identity of a Docker daemon (`ID` of `GET /info`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonId(pub String);

/// How patient the comparison is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// For how long Docker must not have named an object.
    pub grace: Duration,
    /// Shortest time between the first look without an object and the last.
    pub apart: Duration,
}

/// What the agent has, finished objects only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ours {
    /// Networks, with the time since Docker last named each.
    pub networks: BTreeMap<NetworkId, Duration>,
    /// Endpoints.
    pub endpoints: BTreeMap<EndpointId, OurEndpoint>,
}

/// An endpoint that the agent has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurEndpoint {
    /// Its network.
    pub network: NetworkId,
    /// The time since Docker last named it.
    pub quiet: Duration,
    /// Its container runs.
    pub running: bool,
}

/// What Docker has, seen after [`Ours`] was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theirs {
    /// Who answered.
    pub daemon: DaemonId,
    /// Every network, of any driver.
    pub networks: BTreeSet<NetworkId>,
    /// Every endpoint of the networks whose endpoints were asked for. The other networks are not in
    /// here, and nothing is concluded for theirs.
    pub endpoints: BTreeMap<NetworkId, BTreeSet<EndpointId>>,
}

/// What follows from a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Networks to forget, with all that is left in them.
    pub networks: Vec<NetworkId>,
    /// Endpoints to forget.
    pub endpoints: Vec<EndpointId>,
    /// Networks that Docker does not list although containers run on them.
    pub foreign: Vec<NetworkId>,
    /// Networks that Docker does not list, to be looked at again.
    pub missing: Vec<NetworkId>,
    /// Whether another look soon could forget something.
    pub undecided: bool,
}

/// What earlier looks have shown.
#[derive(Debug, Clone)]
pub struct Sightings {
    rules: Rules,
    daemon: Option<DaemonId>,
    networks: BTreeMap<NetworkId, Instant>,
    endpoints: BTreeMap<EndpointId, Instant>,
}

impl Sightings {
    /// Nothing was seen yet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, daemon: None, networks: BTreeMap::new(), endpoints: BTreeMap::new() }
    }

    /// Forgets what earlier looks have shown: Docker did not answer, or not as it should.
    pub fn reset(&mut self) {
        self.networks.clear();
        self.endpoints.clear();
    }

    /// Compares both sides. `now` is the time at which Docker was asked.
    pub fn look(&mut self, now: Instant, ours: &Ours, theirs: &Theirs) -> Verdict {
        if self.daemon.as_ref() != Some(&theirs.daemon) {
            self.reset();
            self.daemon = Some(theirs.daemon.clone());
        }
        let missing: BTreeSet<&NetworkId> =
            ours.networks.keys().filter(|id| !theirs.networks.contains(id)).collect();
        let foreign = self.foreign(ours, &missing);
        let mut verdict =
            Verdict { missing: missing.iter().copied().cloned().collect(), ..Verdict::default() };
        if !foreign.is_empty() {
            self.reset();
            verdict.foreign = foreign;
            return verdict;
        }
        let absent: BTreeSet<&EndpointId> = ours
            .endpoints
            .iter()
            .filter(|(id, endpoint)| is_absent(id, endpoint, theirs))
            .map(|(id, _)| id)
            .collect();
        note(&mut self.networks, &missing, now);
        note(&mut self.endpoints, &absent, now);
        verdict.undecided = !(missing.is_empty() && absent.is_empty());
        let rules = self.rules;
        let seen_twice = |since: &Instant| now.saturating_duration_since(*since) >= rules.apart;
        let quiet = |quiet: Duration| quiet >= rules.grace;
        verdict.networks = self
            .networks
            .iter()
            .filter(|(id, since)| seen_twice(since) && self.is_quiet(id, ours))
            .map(|(id, _)| id.clone())
            .collect();
        verdict.endpoints = self
            .endpoints
            .iter()
            .filter(|(id, since)| seen_twice(since) && quiet(ours.endpoints[*id].quiet))
            .map(|(id, _)| id.clone())
            .collect();
        verdict
    }

    /// Docker has named neither the network nor an endpoint in it for long enough.
    fn is_quiet(&self, id: &NetworkId, ours: &Ours) -> bool {
        ours.networks[id] >= self.rules.grace
            && inside(ours, id).all(|endpoint| endpoint.quiet >= self.rules.grace)
    }

    fn foreign(&self, ours: &Ours, missing: &BTreeSet<&NetworkId>) -> Vec<NetworkId> {
        let runs = |id: &NetworkId| inside(ours, id).any(|endpoint| endpoint.running);
        let settled = |id: &NetworkId| ours.networks[id] >= self.rules.grace;
        missing.iter().filter(|id| settled(id) && runs(id)).copied().cloned().collect()
    }
}

fn inside<'a>(ours: &'a Ours, network: &'a NetworkId) -> impl Iterator<Item = &'a OurEndpoint> {
    ours.endpoints.values().filter(move |endpoint| endpoint.network == *network)
}

fn is_absent(id: &EndpointId, endpoint: &OurEndpoint, theirs: &Theirs) -> bool {
    theirs.endpoints.get(&endpoint.network).is_some_and(|known| !known.contains(id))
}

/// Keeps the time of the first look of those that are still not there, and no others.
fn note<T: Ord + Clone>(
    since: &mut BTreeMap<T, Instant>,
    now_missing: &BTreeSet<&T>,
    now: Instant,
) {
    since.retain(|id, _| now_missing.contains(id));
    for id in now_missing {
        since.entry((*id).clone()).or_insert(now);
    }
}

#[cfg(test)]
mod tests;
