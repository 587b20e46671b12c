//! Endpoints, their listeners, and where a request leads.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::endpoint::{Counters, Endpoint, Resident};
use super::key::{EndpointKey, ListenerId, NetworkKey, SessionId};
use super::ports::{Binding, Choice, Local, Room};
use super::tuples::Tuple;
use crate::wire::{Protocol, Refusal, Reuse, Transport};

/// A connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Streams or datagrams.
    pub protocol: Protocol,
    /// What the program bound to; an unspecified address or port zero is the broker's to choose.
    pub source: Option<SocketAddr>,
    /// Where to.
    pub destination: SocketAddr,
}

impl Ask {
    /// IPv4 addresses that were written as IPv6 become IPv4 addresses.
    #[must_use]
    pub fn canonical(self) -> Self {
        let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        Self {
            source: self.source.map(canonical),
            destination: canonical(self.destination),
            ..self
        }
    }
}

/// A session that may be made. It counts, and has its addresses, until [`Broker::end`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Its number.
    pub id: SessionId,
    /// The endpoint that connects; none when it is a peer that the agent speaks to.
    pub client: Option<EndpointKey>,
    /// The endpoint that listens; none when it is a peer that the agent speaks to.
    pub server: Option<EndpointKey>,
    /// Its addresses.
    pub tuple: Tuple,
    /// How its bytes travel.
    pub way: Way,
}

/// How the bytes of a session travel, as people are shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Straight to a program of another container.
    CutThrough,
    /// By the agent's network stack, in frames.
    Stack,
    /// By a socket of the host that the agent has: of a client of a published port.
    Splice,
}

impl Way {
    /// What programs are told. To them it is all the same how the agent speaks to peers.
    pub fn transport(self) -> Transport {
        match self {
            Self::CutThrough => Transport::CutThrough,
            Self::Stack | Self::Splice => Transport::Stack,
        }
    }
}

impl Grant {
    /// Its endpoints.
    pub fn endpoints(&self) -> impl Iterator<Item = EndpointKey> + use<> {
        self.client.into_iter().chain(self.server)
    }
}

/// Where a connect leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// To this listener.
    Place(Grant, ListenerId),
    /// To listeners of this endpoint, when one of them has room.
    Wait(EndpointKey),
    /// To the kernel.
    UseKernel,
    /// To the endpoint's network stack, if it has one: see [`Broker::connect_by_stack`].
    Stack,
    /// Nowhere.
    Refuse(Refusal),
}

/// Where a listen leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenVerdict {
    /// It is registered.
    Listening(ListenerId),
    /// These listeners are in the way; perhaps they are gone by now.
    Conflict(Vec<ListenerId>),
    /// To the kernel.
    UseKernel,
    /// Nowhere.
    Refuse(Refusal),
}

/// A listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Whose it is.
    pub endpoint: EndpointKey,
    /// Where it listens.
    pub binding: Binding,
}

/// The endpoints and their listeners.
#[derive(Debug, Default)]
pub struct Broker {
    endpoints: HashMap<EndpointKey, Resident>,
    addresses: HashMap<(NetworkKey, IpAddr), EndpointKey>,
    listeners: HashMap<ListenerId, Listener>,
    last_listener: u64,
    last_session: u64,
}

impl Broker {
    /// Adds an endpoint. Should another of the network have one of its addresses, the newer has it.
    pub fn add_endpoint(&mut self, key: EndpointKey, spec: Endpoint) {
        self.remove_endpoint(key);
        for ip in spec.addresses() {
            self.addresses.insert((spec.network, ip), key);
        }
        self.endpoints.insert(key, Resident::new(spec));
    }

    /// Removes an endpoint and returns its listeners, which are forgotten.
    pub fn remove_endpoint(&mut self, key: EndpointKey) -> Vec<ListenerId> {
        let Some(resident) = self.endpoints.remove(&key) else { return Vec::new() };
        for ip in resident.spec.addresses() {
            let address = (resident.spec.network, ip);
            if self.addresses.get(&address) == Some(&key) {
                self.addresses.remove(&address);
            }
        }
        let own = self.listeners.iter().filter(|(_, listener)| listener.endpoint == key);
        let own: Vec<_> = own.map(|(id, _)| *id).collect();
        for id in &own {
            self.listeners.remove(id);
        }
        own
    }

    /// Says whether a packet client has the endpoint's address now.
    pub fn set_packet_client(&mut self, key: EndpointKey, connected: bool) {
        if let Some(resident) = self.endpoints.get_mut(&key) {
            resident.packet_client = connected;
        }
    }

    /// Says that an endpoint has a network stack of the agent.
    pub fn set_stack(&mut self, key: EndpointKey) {
        if let Some(resident) = self.endpoints.get_mut(&key) {
            resident.has_stack = true;
        }
    }

    /// What the broker knows of an endpoint.
    pub fn endpoint(&self, key: EndpointKey) -> Option<&Endpoint> {
        self.endpoints.get(&key).map(|resident| &resident.spec)
    }

    /// The counters of an endpoint.
    pub fn counters(&self, key: EndpointKey) -> Option<&Counters> {
        self.endpoints.get(&key).map(|resident| &resident.counters)
    }

    /// Changes counters of an endpoint, if it is there.
    pub fn count(&mut self, key: EndpointKey, change: impl FnOnce(&mut Counters)) {
        if let Some(resident) = self.endpoints.get_mut(&key) {
            change(&mut resident.counters);
        }
    }

    /// A listener.
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(&id)
    }

    /// All listeners.
    pub fn listeners(&self) -> impl Iterator<Item = (ListenerId, &Listener)> {
        self.listeners.iter().map(|(id, listener)| (*id, listener))
    }

    /// Registers a listener of `key` at `address`.
    pub fn listen(
        &mut self,
        key: EndpointKey,
        protocol: Protocol,
        address: SocketAddr,
        reuse: Reuse,
        cookie: u64,
    ) -> ListenVerdict {
        let Some(resident) = self.endpoints.get_mut(&key) else {
            return ListenVerdict::Refuse(Refusal::Unreachable);
        };
        let local = Local::new(address.ip(), reuse.v6_only);
        match local {
            Local::One(ip) if ip.is_loopback() => return ListenVerdict::UseKernel,
            // Of another endpoint of the same container, or not there at all: the kernel knows.
            Local::One(ip) if !resident.spec.has(ip) && resident.spec.kernel => {
                return ListenVerdict::UseKernel;
            }
            Local::One(ip) if !resident.spec.has(ip) => {
                return ListenVerdict::Refuse(Refusal::AddressNotAvailable);
            }
            _ => {}
        }
        if address.port() == 0 {
            return ListenVerdict::Refuse(Refusal::Malformed);
        }
        if resident.counters.listeners >= u64::from(resident.spec.limits.listeners) {
            resident.counters.over_limit += 1;
            return ListenVerdict::Refuse(Refusal::Limit);
        }
        let binding = Binding { protocol, local, port: address.port(), reuse, cookie };
        let in_the_way: Vec<_> = resident.ports.in_the_way(&binding).collect();
        if !in_the_way.is_empty() {
            return ListenVerdict::Conflict(in_the_way);
        }
        self.last_listener += 1;
        let id = ListenerId(self.last_listener);
        resident.ports.add(id, binding);
        resident.counters.listeners += 1;
        self.listeners.insert(id, Listener { endpoint: key, binding });
        ListenVerdict::Listening(id)
    }

    /// Forgets a listener; fine when it is not there.
    pub fn unlisten(&mut self, id: ListenerId) {
        let Some(listener) = self.listeners.remove(&id) else { return };
        if let Some(resident) = self.endpoints.get_mut(&listener.endpoint) {
            resident.ports.remove(id, &listener.binding);
            resident.counters.listeners -= 1;
        }
    }

    /// Where a connect of `client` leads. Addresses are [canonical](Ask::canonical).
    pub fn connect(
        &mut self,
        client: EndpointKey,
        ask: &Ask,
        room: impl FnMut(ListenerId) -> Room,
    ) -> Verdict {
        let Some(spec) = self.endpoints.get(&client).map(|resident| &resident.spec) else {
            return Verdict::Refuse(Refusal::Unreachable);
        };
        let ip = ask.destination.ip();
        // Linux takes the unspecified address for the loopback.
        if ip.is_loopback() || ip.is_unspecified() {
            return Verdict::UseKernel;
        }
        let source = match own_source(spec, ask) {
            Ok(source) => source,
            Err(verdict) => return verdict,
        };
        let server = self.addresses.get(&(spec.network, ip)).copied();
        let reachable = server.filter(|server| *server == client || !spec.isolated);
        match reachable.map(|server| (server, self.choose(server, ask, room))) {
            Some((server, Choice::Listener(listener))) => {
                match self.grant(client, Some(server), ask, source) {
                    Ok(grant) => Verdict::Place(grant, listener),
                    Err(verdict) => verdict,
                }
            }
            Some((server, Choice::Full)) => Verdict::Wait(server),
            Some((_, Choice::Nobody)) | None => {
                self.without_listener(client, ask.protocol, reachable)
            }
        }
    }

    /// A session of `client` to a peer behind its network stack, which [`connect`](Self::connect) answered
    /// with [`Verdict::Stack`].
    ///
    /// # Errors
    /// Why there is none.
    pub fn connect_by_stack(&mut self, client: EndpointKey, ask: &Ask) -> Result<Grant, Refusal> {
        let spec = self.endpoints.get(&client).map(|resident| &resident.spec);
        let spec = spec.ok_or(Refusal::Unreachable)?;
        let refusal = |verdict| match verdict {
            Verdict::Refuse(refusal) => refusal,
            _ => Refusal::Unreachable,
        };
        let source = own_source(spec, ask).map_err(refusal)?;
        self.grant(client, None, ask, source).map_err(refusal)
    }

    /// A session of a peer that reaches `server` by `way`: the listener that takes it.
    ///
    /// # Errors
    /// [`Room`] when there is none that can.
    pub fn accept_from_outside(
        &mut self,
        server: EndpointKey,
        way: Way,
        tuple: Tuple,
        room: impl FnMut(ListenerId) -> Room,
    ) -> Result<(Grant, ListenerId), Room> {
        let Tuple { protocol, source, destination } = tuple;
        let ask = Ask { protocol, source: Some(source), destination };
        match self.choose(server, &ask, room) {
            Choice::Listener(listener) => {
                self.count(server, |counters| counters.sessions += 1);
                self.last_session += 1;
                let id = SessionId(self.last_session);
                Ok((Grant { id, client: None, server: Some(server), tuple, way }, listener))
            }
            Choice::Full => Err(Room::Full),
            Choice::Nobody => Err(Room::Gone),
        }
    }

    /// Another listener for a session whose first one turned out to be gone.
    pub fn another(
        &mut self,
        grant: &Grant,
        room: impl FnMut(ListenerId) -> Room,
    ) -> Option<ListenerId> {
        let Tuple { protocol, source, destination } = grant.tuple;
        let ask = Ask { protocol, source: Some(source), destination };
        match self.choose(grant.server?, &ask, room) {
            Choice::Listener(listener) => Some(listener),
            Choice::Full | Choice::Nobody => None,
        }
    }

    /// A session is over, or was never made.
    pub fn end(&mut self, grant: &Grant) {
        let client = grant.client.and_then(|client| self.endpoints.get_mut(&client));
        if let Some(resident) = client {
            resident.tuples.give_back(&grant.tuple);
        }
        for key in grant.endpoints() {
            self.count(key, |counters| counters.sessions = counters.sessions.saturating_sub(1));
        }
    }

    /// Lets a connect that led to `verdict` go on if the rate of its endpoint allows it; counts it if not,
    /// and takes the session back that was granted. What is left to the kernel, or refused, costs nothing.
    pub fn admit_rate(&mut self, client: EndpointKey, verdict: &Verdict, now: Duration) -> bool {
        if matches!(verdict, Verdict::UseKernel | Verdict::Refuse(_)) {
            return true;
        }
        let resident = self.endpoints.get_mut(&client);
        let admitted = resident.is_none_or(|resident| resident.admit_session(now));
        if let Verdict::Place(grant, _) = verdict
            && !admitted
        {
            self.end(grant);
        }
        admitted
    }

    /// Whether an endpoint may have one more session.
    pub fn has_session_room(&self, key: EndpointKey) -> bool {
        self.endpoints.get(&key).is_some_and(Resident::has_session_room)
    }

    fn choose(
        &mut self,
        server: EndpointKey,
        ask: &Ask,
        room: impl FnMut(ListenerId) -> Room,
    ) -> Choice {
        let Some(resident) = self.endpoints.get_mut(&server) else { return Choice::Nobody };
        let full = !resident.has_session_room();
        match resident.ports.choose(ask.protocol, ask.destination, room) {
            Choice::Listener(_) if full => Choice::Full,
            choice => choice,
        }
    }

    fn grant(
        &mut self,
        client: EndpointKey,
        server: Option<EndpointKey>,
        ask: &Ask,
        source: SocketAddr,
    ) -> Result<Grant, Verdict> {
        let Some(resident) = self.endpoints.get_mut(&client) else {
            return Err(Verdict::Refuse(Refusal::Unreachable));
        };
        if !resident.has_session_room() {
            return Err(Verdict::Refuse(Refusal::Limit));
        }
        let Ask { protocol, destination, .. } = *ask;
        let ports = &resident.ports;
        let tuple = if source.port() == 0 {
            let listens = |port| ports.has(protocol, port);
            resident.tuples.take_any(protocol, source.ip(), destination, listens)
        } else {
            let tuple = Tuple { protocol, source, destination };
            resident.tuples.take(tuple).then_some(tuple)
        };
        let Some(tuple) = tuple else {
            return Err(Verdict::Refuse(Refusal::AddressNotAvailable));
        };
        self.last_session += 1;
        let id = SessionId(self.last_session);
        let way = if server.is_some() { Way::CutThrough } else { Way::Stack };
        let grant = Grant { id, client: Some(client), server, tuple, way };
        for key in grant.endpoints() {
            self.count(key, |counters| counters.sessions += 1);
        }
        Ok(grant)
    }

    /// Where a connect leads when no session can be made: `server` is the endpoint at its
    /// destination, if there is one that the client may reach.
    fn without_listener(
        &self,
        client: EndpointKey,
        protocol: Protocol,
        server: Option<EndpointKey>,
    ) -> Verdict {
        let resident = |key| self.endpoints.get(&key);
        if resident(client).is_some_and(|client| client.spec.kernel) {
            return Verdict::UseKernel;
        }
        // Whatever has the address now, a packet client or another stack, answers for itself. Datagrams
        // are no business of the stack: nobody would answer for a peer that is not there.
        let by_stack = protocol == Protocol::Stream && server != Some(client);
        if by_stack && resident(client).is_some_and(|client| client.has_stack) {
            return Verdict::Stack;
        }
        match server.and_then(resident) {
            Some(server) if !server.spec.kernel && !server.packet_client => {
                Verdict::Refuse(Refusal::Refused)
            }
            _ => Verdict::Stack,
        }
    }
}

/// The own address of a connect, with port zero when the broker shall choose.
fn own_source(spec: &Endpoint, ask: &Ask) -> Result<SocketAddr, Verdict> {
    let destination = ask.destination.ip();
    let elsewhere = |refusal| {
        if spec.kernel { Verdict::UseKernel } else { Verdict::Refuse(refusal) }
    };
    let port = ask.source.map_or(0, |source| source.port());
    let asked = ask.source.map(|source| source.ip()).filter(|ip| !ip.is_unspecified());
    match asked {
        Some(ip) if ip.is_loopback() => Err(Verdict::UseKernel),
        Some(ip) if spec.has(ip) && ip.is_ipv4() == destination.is_ipv4() => {
            Ok(SocketAddr::new(ip, port))
        }
        Some(_) => Err(elsewhere(Refusal::AddressNotAvailable)),
        None => match spec.source_for(destination) {
            Some(ip) => Ok(SocketAddr::new(ip, port)),
            None => Err(elsewhere(Refusal::Unreachable)),
        },
    }
}
