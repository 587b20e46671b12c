//! What the agent knows of networks and endpoints, and what may happen to them next.
//!
//! Pure: a decision looks at the state and names the changes; the driver makes them durable, then
//! applies them and asks the engine. A record is *unsettled* between the two halves of its
//! creation and of its removal: whoever finds it so after a crash removes what is left of it.

mod error;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::MacAddr;
use serde::{Deserialize, Serialize};

use crate::docker::request::EndpointRequest;
use crate::model::{
    EndpointId, EndpointSpec, IfName, NetworkId, NetworkSpec, PortMapping, SandboxKey, VhostOptions,
};

pub use error::{Ambiguous, Claim, StateError};

/// Whether a record's creation is complete and its removal not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The engine has it.
    Settled,
    /// Being created or removed; after a crash only its remains are of interest.
    Unsettled,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// What it is.
    pub spec: NetworkSpec,
    /// Whether the engine has it.
    pub standing: Standing,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// What it is.
    pub spec: EndpointSpec,
    /// The driver chose the Ethernet address, so it is told to Docker.
    pub mac_generated: bool,
    /// The name that the user wants the link to have in the container.
    pub ifname: Option<IfName>,
    /// The ports that the user wants published.
    pub ports: Vec<PortMapping>,
    /// Docker chose this endpoint as the container's way out.
    pub external: bool,
    /// The container that it is joined to.
    pub sandbox: Option<SandboxKey>,
    /// Whether the engine has it.
    pub standing: Standing,
}

/// One step of the state, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Adds or replaces a network.
    PutNetwork(NetworkRecord),
    /// Forgets a network.
    DropNetwork(NetworkId),
    /// Adds or replaces an endpoint.
    PutEndpoint(EndpointRecord),
    /// Forgets an endpoint.
    DropEndpoint(EndpointId),
}

/// How a creation begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin<T> {
    /// With this new record.
    Fresh(T),
    /// It was done before: the request is a repetition.
    Done(T),
    /// By removing the remains of an earlier attempt.
    Leftover,
}

/// The gateways of an endpoint, by family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gateways {
    /// IPv4.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6.
    pub ipv6: Option<Ipv6Addr>,
}

/// All networks and endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    networks: BTreeMap<NetworkId, NetworkRecord>,
    endpoints: BTreeMap<EndpointId, EndpointRecord>,
}

impl State {
    /// The state made of stored records.
    pub fn from_records(
        networks: Vec<NetworkRecord>,
        endpoints: Vec<EndpointRecord>,
    ) -> Result<Self, StateError> {
        let networks: BTreeMap<_, _> =
            networks.into_iter().map(|record| (record.spec.id.clone(), record)).collect();
        if let Some(orphan) =
            endpoints.iter().find(|record| !networks.contains_key(&record.spec.network))
        {
            let (endpoint, network) = (orphan.spec.id.clone(), orphan.spec.network.clone());
            return Err(StateError::Orphan(endpoint, network));
        }
        let endpoints =
            endpoints.into_iter().map(|record| (record.spec.id.clone(), record)).collect();
        Ok(Self { networks, endpoints })
    }

    /// Applies a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::PutNetwork(record) => {
                self.networks.insert(record.spec.id.clone(), record);
            }
            Change::DropNetwork(id) => {
                self.networks.remove(&id);
            }
            Change::PutEndpoint(record) => {
                self.endpoints.insert(record.spec.id.clone(), record);
            }
            Change::DropEndpoint(id) => {
                self.endpoints.remove(&id);
            }
        }
    }

    /// All networks, by id.
    pub fn networks(&self) -> impl Iterator<Item = &NetworkRecord> {
        self.networks.values()
    }

    /// All endpoints, by id.
    pub fn endpoints(&self) -> impl Iterator<Item = &EndpointRecord> {
        self.endpoints.values()
    }

    /// The endpoints of a network.
    pub fn endpoints_of<'a>(
        &'a self,
        network: &'a NetworkId,
    ) -> impl Iterator<Item = &'a EndpointRecord> {
        self.endpoints.values().filter(move |record| record.spec.network == *network)
    }

    /// A network in any standing.
    pub fn find_network(&self, id: &NetworkId) -> Option<&NetworkRecord> {
        self.networks.get(id)
    }

    /// An endpoint in any standing.
    pub fn find_endpoint(&self, id: &EndpointId) -> Option<&EndpointRecord> {
        self.endpoints.get(id)
    }

    /// A network that can be used.
    pub fn network(&self, id: &NetworkId) -> Result<&NetworkRecord, StateError> {
        self.networks
            .get(id)
            .filter(|record| record.standing == Standing::Settled)
            .ok_or_else(|| StateError::UnknownNetwork(id.clone()))
    }

    /// An endpoint that can be used, which must be on `network`.
    pub fn endpoint(
        &self,
        network: &NetworkId,
        id: &EndpointId,
    ) -> Result<&EndpointRecord, StateError> {
        let record = self
            .endpoints
            .get(id)
            .filter(|record| record.standing == Standing::Settled)
            .ok_or_else(|| StateError::UnknownEndpoint(id.clone()))?;
        if record.spec.network == *network {
            Ok(record)
        } else {
            Err(StateError::WrongNetwork {
                endpoint: id.clone(),
                actual: record.spec.network.clone(),
                asked: network.clone(),
            })
        }
    }

    /// The network whose id is or begins with `prefix`.
    pub fn resolve_network(&self, prefix: &str) -> Result<NetworkId, Ambiguous> {
        resolve("network", prefix, self.networks.keys(), NetworkId::as_str)
    }

    /// The endpoint whose id is or begins with `prefix`.
    pub fn resolve_endpoint(&self, prefix: &str) -> Result<EndpointId, Ambiguous> {
        resolve("endpoint", prefix, self.endpoints.keys(), EndpointId::as_str)
    }

    /// Decides on the creation of a network.
    pub fn begin_network(&self, spec: &NetworkSpec) -> Result<Begin<NetworkRecord>, StateError> {
        match self.networks.get(&spec.id) {
            Some(record) if record.standing == Standing::Unsettled => return Ok(Begin::Leftover),
            Some(record) if record.spec == *spec => return Ok(Begin::Done(record.clone())),
            Some(_) => return Err(StateError::NetworkDiffers(spec.id.clone())),
            None => {}
        }
        if let Some(overlap) = self.networks.values().find_map(|held| overlap(spec, &held.spec)) {
            return Err(overlap);
        }
        Ok(Begin::Fresh(NetworkRecord { spec: spec.clone(), standing: Standing::Unsettled }))
    }

    /// Decides on the creation of an endpoint.
    pub fn begin_endpoint(
        &self,
        request: &EndpointRequest,
    ) -> Result<Begin<EndpointRecord>, StateError> {
        let network = self.network(&request.network)?;
        match self.endpoints.get(&request.id) {
            Some(record) if record.standing == Standing::Unsettled => return Ok(Begin::Leftover),
            Some(record) if repeats(request, record, &network.spec) => {
                return Ok(Begin::Done(record.clone()));
            }
            Some(_) => return Err(StateError::EndpointDiffers(request.id.clone())),
            None => {}
        }
        self.addresses_fit(request, &network.spec)?;
        self.socket_is_free(request, &network.spec)?;
        let mac = match request.mac {
            Some(mac) => self.free_mac(&request.network, mac)?,
            None => self.generate_mac(request),
        };
        Ok(Begin::Fresh(EndpointRecord {
            spec: endpoint_spec(request, mac, &network.spec),
            mac_generated: request.mac.is_none(),
            ifname: request.ifname.clone(),
            ports: request.ports.clone(),
            external: false,
            sandbox: None,
            standing: Standing::Unsettled,
        }))
    }

    /// Decides on joining a sandbox; the record as it will be.
    pub fn join(
        &self,
        network: &NetworkId,
        id: &EndpointId,
        sandbox: &SandboxKey,
        ports: Option<Vec<PortMapping>>,
    ) -> Result<EndpointRecord, StateError> {
        let record = self.endpoint(network, id)?;
        match &record.sandbox {
            Some(held) if held != sandbox => {
                Err(StateError::Joined { endpoint: id.clone(), sandbox: held.clone() })
            }
            _ => Ok(EndpointRecord {
                sandbox: Some(sandbox.clone()),
                ports: ports.unwrap_or_else(|| record.ports.clone()),
                ..record.clone()
            }),
        }
    }

    /// The gateways that a container on this endpoint uses: none on an internal network.
    pub fn gateways(&self, endpoint: &EndpointSpec) -> Gateways {
        let Some(network) = self.networks.get(&endpoint.network).map(|record| &record.spec) else {
            return Gateways::default();
        };
        if network.internal {
            return Gateways::default();
        }
        let ipv4 = endpoint.ipv4.and_then(|own| {
            let pool = network.ipv4.iter().find(|pool| pool.subnet.contains(&own.addr()))?;
            pool.gateway
        });
        let ipv6 = endpoint.ipv6.and_then(|own| {
            let pool = network.ipv6.iter().find(|pool| pool.subnet.contains(&own.addr()))?;
            pool.gateway
        });
        Gateways { ipv4, ipv6 }
    }

    /// The addresses lie in the network's subnets and nobody has them.
    fn addresses_fit(
        &self,
        request: &EndpointRequest,
        network: &NetworkSpec,
    ) -> Result<(), StateError> {
        let outside = |address| StateError::OutsideSubnets { address, network: network.id.clone() };
        if let Some(own) = request.ipv4.map(|net| net.addr()) {
            let pool = network.ipv4.iter().find(|pool| pool.subnet.contains(&own));
            let pool = pool.ok_or_else(|| outside(own.into()))?;
            if pool.gateway == Some(own) {
                return Err(StateError::IsGateway(own.into()));
            }
        }
        if let Some(own) = request.ipv6.map(|net| net.addr()) {
            let pool = network.ipv6.iter().find(|pool| pool.subnet.contains(&own));
            let pool = pool.ok_or_else(|| outside(own.into()))?;
            if pool.gateway == Some(own) {
                return Err(StateError::IsGateway(own.into()));
            }
        }
        for other in self.endpoints_of(&network.id) {
            let same_ipv4 = request
                .ipv4
                .filter(|own| other.spec.ipv4.is_some_and(|held| held.addr() == own.addr()));
            let same_ipv6 = request
                .ipv6
                .filter(|own| other.spec.ipv6.is_some_and(|held| held.addr() == own.addr()));
            let same = same_ipv4
                .map(|net| IpAddr::from(net.addr()))
                .or(same_ipv6.map(|net| net.addr().into()));
            if let Some(address) = same {
                let (claim, holder) = (Claim::Address(address), other.spec.id.clone());
                return Err(StateError::Taken { claim, holder });
            }
        }
        Ok(())
    }

    fn mac_holder(&self, network: &NetworkId, mac: MacAddr) -> Option<&EndpointRecord> {
        let mut endpoints = self.endpoints.values();
        endpoints.find(|record| record.spec.network == *network && record.spec.mac == mac)
    }

    /// Options of a vhost-user device are given to endpoints that have one, and nobody has its socket.
    fn socket_is_free(
        &self,
        request: &EndpointRequest,
        network: &NetworkSpec,
    ) -> Result<(), StateError> {
        let spec = endpoint_spec(request, MacAddr([0; 6]), network);
        let Some(name) = spec.vhost_socket() else {
            let given = request.options.vhost != VhostOptions::default();
            return if given { Err(StateError::NoDevice(spec.attach)) } else { Ok(()) };
        };
        let holds = |record: &&EndpointRecord| record.spec.vhost_socket().as_ref() == Some(&name);
        match self.endpoints.values().find(holds) {
            Some(holder) => Err(StateError::SocketTaken { name, holder: holder.spec.id.clone() }),
            None => Ok(()),
        }
    }

    fn free_mac(&self, network: &NetworkId, mac: MacAddr) -> Result<MacAddr, StateError> {
        match self.mac_holder(network, mac) {
            None => Ok(mac),
            Some(holder) => {
                Err(StateError::Taken { claim: Claim::Mac(mac), holder: holder.spec.id.clone() })
            }
        }
    }

    /// `02:42` and the IPv4 address, as Docker's bridge driver has it; without one, or when that
    /// is taken, an address derived from the endpoint's (random) id.
    fn generate_mac(&self, request: &EndpointRequest) -> MacAddr {
        let by_address = request.ipv4.map(|net| {
            let [a, b, c, d] = net.addr().octets();
            MacAddr([0x02, 0x42, a, b, c, d])
        });
        let by_id = (0..).map(|attempt| mac_of_id(&request.id, attempt));
        by_address
            .into_iter()
            .chain(by_id)
            .find(|mac| self.mac_holder(&request.network, *mac).is_none())
            .expect("2^40 addresses are more than a network has endpoints")
    }
}

fn resolve<'a, Id: Clone + 'a>(
    kind: &'static str,
    prefix: &str,
    ids: impl Iterator<Item = &'a Id>,
    text: fn(&Id) -> &str,
) -> Result<Id, Ambiguous> {
    let found: Vec<&Id> = ids.filter(|id| text(id).starts_with(prefix)).collect();
    let whole = found.iter().find(|id| text(id) == prefix);
    match (found.as_slice(), whole) {
        (_, Some(id)) => Ok((*id).clone()),
        ([id], _) if !prefix.is_empty() => Ok((*id).clone()),
        ([] | [_], _) => Err(Ambiguous::None { kind, prefix: prefix.to_owned() }),
        (several, _) => Err(Ambiguous::Several {
            kind,
            prefix: prefix.to_owned(),
            candidates: several.iter().map(|id| text(id).to_owned()).collect(),
        }),
    }
}

fn endpoint_spec(request: &EndpointRequest, mac: MacAddr, network: &NetworkSpec) -> EndpointSpec {
    EndpointSpec {
        id: request.id.clone(),
        network: request.network.clone(),
        mac,
        ipv4: request.ipv4,
        ipv6: request.ipv6,
        attach: request.options.attach.unwrap_or(network.attach),
        memif: request.options.memif.clone(),
        session: request.options.session.or(network.session),
        policy: request.options.policy.or(network.policy),
        vhost: request.options.vhost.clone(),
    }
}

/// Whether the request asks for what the record already is.
fn repeats(request: &EndpointRequest, record: &EndpointRecord, network: &NetworkSpec) -> bool {
    request.mac.is_none() == record.mac_generated
        && endpoint_spec(request, request.mac.unwrap_or(record.spec.mac), network) == record.spec
        && request.ifname == record.ifname
}

fn overlap(asked: &NetworkSpec, held: &NetworkSpec) -> Option<StateError> {
    let ipv4 = asked.ipv4.iter().find_map(|one| {
        let other = held.ipv4.iter().find(|other| {
            one.subnet.contains(&other.subnet.network())
                || other.subnet.contains(&one.subnet.network())
        })?;
        Some((one.subnet.to_string(), other.subnet.to_string()))
    });
    let ipv6 = || {
        asked.ipv6.iter().find_map(|one| {
            let other = held.ipv6.iter().find(|other| {
                one.subnet.contains(&other.subnet.network())
                    || other.subnet.contains(&one.subnet.network())
            })?;
            Some((one.subnet.to_string(), other.subnet.to_string()))
        })
    };
    let (asked, held_subnet) = ipv4.or_else(ipv6)?;
    Some(StateError::Overlap { asked, held: held_subnet, holder: held.id.clone() })
}

/// Locally administered, unicast, 40 bits of a hash (FNV-1a, 64 bits) of the id.
fn mac_of_id(id: &EndpointId, attempt: u32) -> MacAddr {
    let bytes = id.as_str().bytes().chain(attempt.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut octets = [0x02; 6];
    octets[1..].copy_from_slice(&hash.to_be_bytes()[..5]);
    MacAddr(octets)
}
