//! The outside of networks: their gateways on the host, the way out, and published ports.
//!
//! * `plan`, `name`, `rules`, `forward`: what the kernel should have, and the words for it. Pure.
//! * `refusal`: whether something of the host may refuse who comes by a published port. Pure.
//! * `flows`: which flows of datagrams it has to forget. Pure.
//! * `link`: the gateway, a TAP of the host; `firewall`: the packet filter.
//! * `ports`: published ports.
//!
//! The kernel is told the whole plan after every change, and once after a restart, when all networks and
//! ports are known again: until then what an agent before this one made stays in force.

mod firewall;
mod flows;
mod forward;
mod link;
mod name;
mod plan;
mod ports;
mod refusal;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use dataplane::tap::TapDevice;

use self::firewall::Firewall;
use self::link::GatewayLinks;
use self::plan::{Gateway, Opening, Plan, Target};
pub(super) use self::ports::Way;
use self::ports::{CALM, Ports};
use super::super::attachment::gateway_mac;
use super::super::{EngineError, PublishedAt};
use crate::host::conntrack;
use crate::host::root::HostRoot;
use crate::host::sysctl::Settings;
use crate::model::{EndpointId, EndpointSpec, NetworkId, NetworkSpec, PortMapping};

/// How long ports stay in packets after it could not be known what this host refuses: what is unknown now and then
/// would have them change all the time.
const DOUBT: Duration = Duration::from_mins(1);

/// Between two times that the kernel is told because addresses changed hands.
const TURN_PAUSE: Duration = Duration::from_millis(50);

/// The outside of all networks of an agent.
#[derive(Debug)]
pub(super) struct Outside {
    links: GatewayLinks,
    state: Arc<Mutex<State>>,
    /// To the thread that has published ports lead by the way that works now.
    turns: Sender<EndpointId>,
}

#[derive(Debug)]
struct State {
    gateways: BTreeMap<NetworkId, Gateway>,
    /// Of networks that other hosts have too: the UDP ports of these.
    vxlan_ports: BTreeMap<NetworkId, BTreeSet<u16>>,
    ports: Ports,
    firewall: Firewall,
    /// The published ports of which the kernel was told last.
    told: Vec<Opening>,
    /// All that was remembered is known again.
    whole: bool,
    /// It was not known what this host refuses: until then nothing is spliced.
    unknown_until: Option<Instant>,
    /// What the kernel refused last, if it has not taken it since.
    trouble: Option<String>,
}

impl Outside {
    /// `owner` keeps two agents on one host apart, whose files are below `host`.
    pub(super) fn start(owner: &str, host: &HostRoot) -> Result<Self, EngineError> {
        let ports = Ports::start().map_err(|source| EngineError::Io {
            what: "cannot start the thread of published ports".to_owned(),
            source,
        })?;
        let state = State {
            gateways: BTreeMap::new(),
            vxlan_ports: BTreeMap::new(),
            ports,
            firewall: Firewall::new(owner, host),
            told: Vec::new(),
            whole: false,
            unknown_until: None,
            trouble: None,
        };
        let links = GatewayLinks::new(owner.to_owned(), Settings::of(host.clone()));
        let state = Arc::new(Mutex::new(state));
        let (turns, inbox) = channel();
        let watched = Arc::downgrade(&state);
        std::thread::Builder::new()
            .name("outside".to_owned())
            .spawn(move || take_turns(&watched, &inbox))
            .map_err(|source| EngineError::Io {
                what: "cannot start the thread of published ports".to_owned(),
                source,
            })?;
        Ok(Self { links, state, turns })
    }

    /// Whether a network has its gateway on the host.
    pub(super) fn is_for(network: &NetworkSpec) -> bool {
        Gateway::of(network, link::link_name(&network.id)).is_some()
    }

    /// Makes the gateway of a network, or takes up the one that it had; the TAP is for its bridge domain.
    /// Nothing is left of one that fails.
    pub(super) fn open(&self, network: &NetworkSpec) -> Result<TapDevice, EngineError> {
        let name = link::link_name(&network.id);
        let gateway = Gateway::of(network, name).ok_or_else(|| EngineError::Host {
            what: format!("network {} has no gateway on the host", network.id),
            remedy: "this is a fault of the agent; please report it".to_owned(),
        })?;
        let mut state = self.state();
        let mac = gateway_mac(&network.id);
        let tap = self.links.make(&network.id, &gateway, mac, network.mtu)?;
        let opened = self.links.forward(&gateway).and_then(|()| {
            state.gateways.insert(network.id.clone(), gateway);
            state.apply()
        });
        match opened {
            Ok(()) => Ok(tap),
            Err(error) => {
                state.gateways.remove(&network.id);
                drop(tap);
                undo(state.apply());
                undo(self.links.remove(&network.id));
                Err(error)
            }
        }
    }

    /// Removes the gateway of a network, whose TAP nobody serves any more; fine when there is none.
    pub(super) fn close(&self, network: &NetworkId) -> Result<(), EngineError> {
        let mut state = self.state();
        if state.gateways.remove(network).is_some() {
            // What cannot be taken from the kernel now, for want of the gateway does nothing there.
            if let Err(error) = state.apply() {
                tracing::warn!(%error, "the packet filter keeps something of a network that is gone");
            }
        }
        self.links.remove(network)
    }

    /// Keeps containers of all networks from sending to these UDP ports of other hosts.
    pub(super) fn guard(
        &self,
        network: &NetworkId,
        vxlan_ports: BTreeSet<u16>,
    ) -> Result<(), EngineError> {
        let mut state = self.state();
        state.vxlan_ports.insert(network.clone(), vxlan_ports);
        state.apply().inspect_err(|_| {
            state.vxlan_ports.remove(network);
        })
    }

    /// Lets them, as far as no other network forbids it.
    pub(super) fn unguard(&self, network: &NetworkId) {
        let mut state = self.state();
        if state.vxlan_ports.remove(network).is_some()
            && let Err(error) = state.apply()
        {
            tracing::warn!(%error, "the packet filter keeps something of a network that is gone");
        }
    }

    /// Publishes ports of an endpoint in place of those that it had; changes nothing if it fails.
    pub(super) fn publish(
        &self,
        endpoint: &EndpointSpec,
        ports: &[PortMapping],
        way: Option<Way>,
    ) -> Result<(), EngineError> {
        let mut state = self.state();
        if let Some(way) = &way {
            let (turns, id) = (self.turns.clone(), endpoint.id.clone());
            // The thread ends with the agent only.
            way.splicer.watch(move || drop(turns.send(id.clone())));
        }
        let allowed = way.as_ref().filter(|_| state.may_splice());
        let draft = state.ports.claim(&endpoint.id, Target::of(endpoint), ports, allowed)?;
        let openings = state.ports.openings_with(&draft);
        if openings != state.ports.openings() {
            let told = state.tell(openings);
            if told.is_err() {
                undo(state.apply());
                return told;
            }
        }
        state.ports.take(draft, way);
        Ok(())
    }

    /// Takes all its ports from an endpoint. They are free from then on, also if the kernel does not take
    /// the new rules: it is told again from time to time.
    pub(super) fn unpublish(&self, endpoint: &EndpointId) {
        let mut state = self.state();
        if state.ports.release(endpoint)
            && let Err(error) = state.apply()
        {
            tracing::warn!(%error, "the packet filter keeps published ports of an endpoint");
        }
    }

    /// The published ports of an endpoint.
    pub(super) fn published(&self, endpoint: &EndpointId) -> Vec<PublishedAt> {
        self.state().ports.of(endpoint)
    }

    /// Called when all that was remembered is known again: removes what an agent before this one left,
    /// and tells the kernel the whole.
    pub(super) fn sweep(&self) -> Result<usize, EngineError> {
        let mut state = self.state();
        state.whole = true;
        let removed = self.links.sweep(|network| state.gateways.contains_key(network))?;
        state.apply()?;
        Ok(removed)
    }

    /// Puts back what somebody else took away.
    pub(super) fn tend(&self) {
        let mut state = self.state();
        if !state.whole || state.gateways.is_empty() {
            return;
        }
        let plan = state.plan(state.ports.openings());
        match state.firewall.holds(&plan) {
            Ok(true) => state.trouble = None,
            Ok(false) => {
                tracing::warn!("somebody removed rules of the packet filter; they are put back");
                if let Err(error) = state.apply() {
                    tracing::warn!(%error, "the packet filter does not take them");
                }
            }
            Err(error) => state.trouble = Some(error.to_string()),
        }
        let spliced = state.ports.with_ways();
        state.settle(&spliced);
    }

    /// What is amiss.
    pub(super) fn warnings(&self) -> Vec<String> {
        let trouble = self.state().trouble.clone();
        trouble
            .map(|why| format!("the way out of networks does not work: {why}"))
            .into_iter()
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever a panic left half done, the next change tells the kernel the whole again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn plan(&self, openings: Vec<Opening>) -> Plan {
        Plan {
            gateways: self.gateways.values().cloned().collect(),
            openings,
            vxlan_ports: self.vxlan_ports.values().flatten().copied().collect(),
        }
    }

    /// Whether nobody is refused who comes by a published port, and so may as well come to a socket of the host.
    fn may_splice(&mut self) -> bool {
        match self.firewall.refuses() {
            Ok(refuses) => {
                self.unknown_until = self.unknown_until.filter(|until| *until > Instant::now());
                !refuses && self.unknown_until.is_none()
            }
            Err(error) => {
                if self.unknown_until.is_none() {
                    tracing::warn!(%error, "published ports are not spliced: what this host refuses is unknown");
                }
                self.unknown_until = Some(Instant::now() + DOUBT);
                false
            }
        }
    }

    /// Has published ports of endpoints lead by the way that works now.
    fn settle(&mut self, endpoints: &BTreeSet<EndpointId>) {
        if endpoints.is_empty() {
            return;
        }
        // Nobody is asked for those that cannot be.
        let would = endpoints.iter().any(|endpoint| self.ports.would_splice(endpoint));
        let allowed = would && self.may_splice();
        let mut changed = false;
        for endpoint in endpoints {
            changed |= self.ports.settle(endpoint, allowed);
        }
        if changed && let Err(error) = self.apply() {
            tracing::warn!(%error, "the packet filter does not take another way to published ports");
        }
    }

    fn apply(&mut self) -> Result<(), EngineError> {
        self.tell(self.ports.openings())
    }

    fn tell(&mut self, openings: Vec<Opening>) -> Result<(), EngineError> {
        if !self.whole {
            return Ok(());
        }
        let plan = self.plan(openings);
        let told = self.firewall.apply(&plan);
        self.trouble = told.as_ref().err().map(ToString::to_string);
        if told.is_ok() {
            forget_flows(&self.told, &plan.openings);
            self.told = plan.openings;
        }
        told
    }
}

/// Serves endpoints whose address changed hands, until nobody can say so any more. A packet client can connect
/// as often as it likes; the kernel is told once for all who did, and then there is a pause. Each is looked at again
/// when its ports may be spliced.
fn take_turns(state: &Weak<Mutex<State>>, inbox: &Receiver<EndpointId>) {
    let mut again: BTreeMap<EndpointId, Instant> = BTreeMap::new();
    loop {
        let mut endpoints = BTreeSet::new();
        let next = again.values().min();
        let first = match next.map(|at| at.saturating_duration_since(Instant::now())) {
            Some(pause) => inbox.recv_timeout(pause),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match first {
            Ok(first) => {
                endpoints.extend(std::iter::once(first).chain(inbox.try_iter()));
                let at = Instant::now() + CALM + TURN_PAUSE;
                again.extend(endpoints.iter().map(|endpoint| (endpoint.clone(), at)));
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                endpoints.extend(again.extract_if(.., |_, at| *at <= now).map(|(id, _)| id));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(state) = state.upgrade() else { return };
        state.lock().unwrap_or_else(PoisonError::into_inner).settle(&endpoints);
        drop(state);
        std::thread::sleep(TURN_PAUSE);
    }
}

/// Has the kernel decide anew about datagrams to ports that came or went: it would keep to what it decided once.
fn forget_flows(before: &[Opening], now: &[Opening]) {
    for (door, turn) in flows::turns(before, now) {
        match conntrack::forget(&door, turn) {
            Ok(flows) => tracing::debug!(port = door.port, ?turn, flows, "flows are forgotten"),
            Err(error) => tracing::warn!(
                port = door.port,
                %error,
                "who goes on sending datagrams to this port may not reach its container; a pause of three minutes helps"
            ),
        }
    }
}

/// A step back after a failure: the first error is the one to report.
fn undo(outcome: Result<(), EngineError>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "the host keeps something after a failure");
    }
}
