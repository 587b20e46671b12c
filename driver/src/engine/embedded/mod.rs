//! The embedded engine behind the [`Engine`] trait: a network is a bridge domain of the agent's data
//! path, an endpoint one of its ports. If networks have a way out, each has one more port: a TAP of the
//! host, which is the gateway then. Other hosts that have the network too are ports as well.

mod network;
mod outside;
mod policy;
mod vxlan;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::control::{self, FdbEntry, VxlanPeer, VxlanStatus};
use dataplane::{DataplaneError, DomainId, PortConfig, PortId};
use session::broker::NetworkKey;

use self::network::domain_config;
use self::outside::Outside;
use self::policy::port_policy;
use self::vxlan::Segments;
use super::attachment::{
    AttachmentOptions, Attachments, Endpoint, MemifService, different, gateway_mac, gateways,
};
use super::session::{ListenerStatus, SessionStatus};
use super::{
    Attachment, CaptureScope, EndpointStatus, Engine, EngineError, FdbLine, FrameSource,
    PublishedAt, Restored,
};
use crate::model::{
    EndpointId, EndpointSpec, NetworkId, NetworkSpec, PortMapping, RateLimit, SandboxKey, TcpStack,
};

/// How the engine works.
#[derive(Debug, Clone, Default)]
pub struct EmbeddedOptions {
    /// How endpoints are attached to containers.
    pub attachment: AttachmentOptions,
    /// How networks reach the outside.
    pub way_out: WayOut,
    /// How published TCP ports lead to programs with sessions.
    pub publish: PublishBy,
}

/// How published TCP ports lead to programs with sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PublishBy {
    /// Spliced: by a socket of the host, where nothing filters the host's input and the endpoint has no limit of
    /// frames; otherwise in packets.
    #[default]
    Auto,
    /// In packets, whose addresses the kernel translates.
    Packets,
}

/// How networks that are not internal reach the outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WayOut {
    /// Not at all: a network ends at its gateway.
    #[default]
    None,
    /// Through the kernel of the host, which routes and translates addresses.
    Host,
}

/// The embedded engine. Dropping it closes every socket and stops the data path; links stay in their
/// containers and work again after [`Engine::rejoin`].
#[derive(Debug)]
pub struct EmbeddedEngine {
    attachments: Attachments,
    networks: Mutex<HashMap<NetworkId, Network>>,
    outside: Option<Outside>,
    publish: PublishBy,
    segments: Segments,
}

/// A network and its domain.
#[derive(Debug, Clone)]
struct Network {
    spec: Arc<NetworkSpec>,
    domain: DomainId,
    /// The port of its gateway on the host, if it has one.
    gateway: Option<PortId>,
}

impl EmbeddedEngine {
    /// Starts the data path and the threads that serve endpoints.
    pub fn start(options: EmbeddedOptions) -> Result<Self, EngineError> {
        let outside = match options.way_out {
            WayOut::None => None,
            WayOut::Host => {
                let AttachmentOptions { owner, host, .. } = &options.attachment;
                Some(Outside::start(owner, host)?)
            }
        };
        let publish = options.publish;
        let attachments = Attachments::start(options.attachment, MemifService::DataPath, None)?;
        let segments = Segments::new(attachments.dataplane().clone());
        Ok(Self { attachments, networks: Mutex::default(), outside, publish, segments })
    }

    /// The outside, if this network reaches it.
    fn outside_of(&self, network: &NetworkSpec) -> Option<&Outside> {
        self.outside.as_ref().filter(|_| Outside::is_for(network))
    }

    /// Makes the domain of a network, with its gateway. Fails whole.
    fn make_network(&self, spec: &NetworkSpec) -> Result<Network, EngineError> {
        let dataplane = self.attachments.dataplane();
        let outside = self.outside_of(spec);
        // Only one of them may answer: the gateway of the data path, or the host's kernel.
        let domain = dataplane.create_domain(domain_config(spec, outside.is_none()))?;
        let gateway = self.open_segment(spec, domain).and_then(|()| {
            outside.map(|outside| self.join_host(spec, domain, outside)).transpose()
        });
        match gateway {
            Ok(gateway) => Ok(Network { spec: Arc::new(spec.clone()), domain, gateway }),
            Err(error) => {
                self.close_segment(&spec.id);
                if let Err(error) = dataplane.delete_domain(domain) {
                    tracing::warn!(%error, "a domain could not be removed after a failure");
                }
                Err(error)
            }
        }
    }

    /// Meets the other hosts that have the network too, if there are any.
    fn open_segment(&self, spec: &NetworkSpec, domain: DomainId) -> Result<(), EngineError> {
        if let (Some(vxlan), Some(outside)) = (&spec.vxlan, &self.outside) {
            outside.guard(&spec.id, vxlan.ports())?;
        }
        self.segments.open(spec, domain)
    }

    fn close_segment(&self, network: &NetworkId) {
        self.segments.close(network);
        if let Some(outside) = &self.outside {
            outside.unguard(network);
        }
    }

    /// Makes the host's gateway a station of the domain. Fails whole.
    fn join_host(
        &self,
        spec: &NetworkSpec,
        domain: DomainId,
        outside: &Outside,
    ) -> Result<PortId, EngineError> {
        let dataplane = self.attachments.dataplane();
        let mac = Some(gateway_mac(&spec.id));
        let config = PortConfig { open: true, ..PortConfig::new("gateway", mac) };
        let port = dataplane.create_port(domain, config)?;
        let opened = outside.open(spec);
        let attached = opened.and_then(|tap| Ok(dataplane.attach_tap(port, tap)?));
        attached.map(|()| port).inspect_err(|_| {
            let removed = dataplane.delete_port(port).map_err(EngineError::from);
            if let Err(error) = removed.and(outside.close(&spec.id)) {
                tracing::warn!(%error, "a gateway could not be removed after a failure");
            }
        })
    }

    fn networks(&self) -> MutexGuard<'_, HashMap<NetworkId, Network>> {
        // Entries are whole: they are inserted when all else has succeeded.
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn network(&self, id: &NetworkId) -> Result<Network, EngineError> {
        let network = self.networks().get(id).cloned();
        network.ok_or_else(|| EngineError::NoNetwork(id.clone()))
    }

    /// How published ports of an endpoint are spliced into its sessions, if they can be. What is limited by
    /// frames has to come in frames.
    fn way_to_sessions(&self, endpoint: &Endpoint) -> Option<outside::Way> {
        if self.publish == PublishBy::Packets {
            return None;
        }
        let policy = &endpoint.spec.policy;
        let limited = [policy.packets, policy.bits].into_iter().flatten();
        if limited.into_iter().any(|limit| limit != RateLimit::None) {
            return None;
        }
        let splicer = endpoint.outlook().splicer?;
        Some(outside::Way { splicer, gateways: gateways(&endpoint.network, &endpoint.spec) })
    }

    fn unpublish(&self, endpoint: &EndpointId) {
        if let Some(outside) = &self.outside {
            outside.unpublish(endpoint);
        }
    }

    fn fdb_line(&self, entry: &FdbEntry, peers: &[VxlanPeer]) -> FdbLine {
        let peer = peers.iter().find(|peer| Some(peer.port) == entry.port);
        FdbLine {
            mac: entry.mac,
            endpoint: entry.port.and_then(|port| self.attachments.endpoints().of_port(port)),
            peer: peer.map(|peer| peer.peer),
            pinned: entry.pinned,
            age: entry.age,
        }
    }
}

impl Engine for EmbeddedEngine {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn prepare_network(&self, network: &NetworkSpec) -> Result<NetworkSpec, EngineError> {
        Segments::prepare(network)
    }

    fn create_network(&self, network: &NetworkSpec) -> Result<(), EngineError> {
        if network.tcp == TcpStack::Vcl {
            return Err(EngineError::Host {
                what: "`tcp=vcl` is VPP's own host stack, and the agent runs without VPP"
                    .to_owned(),
                remedy: "leave the option out, or run the agent with `--engine vpp` (docs/vpp.md)"
                    .to_owned(),
            });
        }
        match self.networks().entry(network.id.clone()) {
            Entry::Occupied(entry) if *entry.get().spec == *network => Ok(()),
            Entry::Occupied(_) => Err(different("network", network.id.as_str())),
            Entry::Vacant(entry) => {
                entry.insert(self.make_network(network)?);
                Ok(())
            }
        }
    }

    fn delete_network(&self, network: &NetworkId) -> Result<(), EngineError> {
        let mut networks = self.networks();
        let Some(found) = networks.get(network) else {
            // An agent that died may have left the gateway of a network that this one never knew.
            return self.outside.as_ref().map_or(Ok(()), |outside| outside.close(network));
        };
        let dataplane = self.attachments.dataplane();
        if let Some(gateway) = found.gateway {
            match dataplane.delete_port(gateway) {
                Ok(()) | Err(DataplaneError::NoPort(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(outside) = &self.outside {
            outside.close(network)?;
        }
        match dataplane.delete_domain(found.domain) {
            Ok(()) | Err(DataplaneError::NoDomain(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.close_segment(network);
        networks.remove(network);
        Ok(())
    }

    fn create_endpoint(&self, endpoint: &EndpointSpec) -> Result<(), EngineError> {
        let Network { spec, domain, .. } = self.network(&endpoint.network)?;
        self.attachments.create(endpoint, || {
            let config = PortConfig {
                policy: port_policy(endpoint),
                ..PortConfig::new(endpoint.id.short(), Some(endpoint.mac))
            };
            let port = self.attachments.dataplane().create_port(domain, config)?;
            Ok(Endpoint::new(endpoint.clone(), spec, NetworkKey(domain.0.into()), port))
        })
    }

    fn delete_endpoint(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        self.unpublish(endpoint);
        self.attachments.delete(endpoint).map(|_known| ())
    }

    fn join(&self, endpoint: &EndpointId, sandbox: &SandboxKey) -> Result<Attachment, EngineError> {
        self.attachments.join(endpoint, sandbox)
    }

    fn publish(
        &self,
        endpoint: &EndpointId,
        ports: &[PortMapping],
    ) -> Result<Vec<PortMapping>, EngineError> {
        if ports.is_empty() {
            self.unpublish(endpoint);
            return Ok(Vec::new());
        }
        let found = self.attachments.endpoints().get(endpoint)?;
        let Some(outside) = self.outside_of(&found.network) else { return Ok(ports.to_vec()) };
        let way = self.way_to_sessions(&found);
        outside.publish(&found.spec, ports, way).map(|()| Vec::new())
    }

    fn published(&self, endpoint: &EndpointId) -> Vec<PublishedAt> {
        self.outside.as_ref().map(|outside| outside.published(endpoint)).unwrap_or_default()
    }

    fn leave(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        self.unpublish(endpoint);
        self.attachments.leave(endpoint)
    }

    fn rejoin(&self, endpoint: &EndpointId, sandbox: &SandboxKey) -> Result<Restored, EngineError> {
        self.attachments.rejoin(endpoint, sandbox)
    }

    fn sandbox_alive(
        &self,
        endpoint: &EndpointId,
        sandbox: &SandboxKey,
    ) -> Result<bool, EngineError> {
        self.attachments.sandbox_alive(endpoint, sandbox)
    }

    fn sweep(&self, known: &dyn Fn(&EndpointId) -> bool) -> Result<usize, EngineError> {
        let endpoints = self.attachments.sweep(known);
        let gateways = self.outside.as_ref().map_or(Ok(0), Outside::sweep);
        Ok(endpoints? + gateways?)
    }

    fn tend(&self) {
        self.segments.tend();
        if let Some(outside) = &self.outside {
            outside.tend();
        }
    }

    fn endpoint_status(
        &self,
        endpoint: &EndpointId,
    ) -> Result<Option<EndpointStatus>, EngineError> {
        self.attachments.status(endpoint)
    }

    fn sessions(&self) -> Vec<SessionStatus> {
        self.attachments.sessions()
    }

    fn listeners(&self) -> Vec<ListenerStatus> {
        self.attachments.listeners()
    }

    fn fdb(&self, network: &NetworkId) -> Result<Vec<FdbLine>, EngineError> {
        let entries = self.attachments.dataplane().fdb(self.network(network)?.domain)?;
        let peers = self.segments.status(network)?.map(|it| it.peers).unwrap_or_default();
        Ok(entries.iter().map(|entry| self.fdb_line(entry, &peers)).collect())
    }

    fn vxlan(&self, network: &NetworkId) -> Result<Option<VxlanStatus>, EngineError> {
        self.segments.status(network)
    }

    fn capture(
        &self,
        scope: &CaptureScope,
        snap_length: u32,
    ) -> Result<Box<dyn FrameSource>, EngineError> {
        let scope = match scope {
            CaptureScope::Network(id) => control::CaptureScope::Domain(self.network(id)?.domain),
            CaptureScope::Endpoint(id) => {
                control::CaptureScope::Port(self.attachments.endpoints().get(id)?.port)
            }
        };
        let source = self.attachments.capture(scope, snap_length)?;
        Ok(self.segments.with_peers(source))
    }

    fn take_turns(&self) -> Result<(), EngineError> {
        Ok(self.attachments.dataplane().take_turns()?)
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.attachments.warnings();
        warnings.extend(self.outside.iter().flat_map(Outside::warnings));
        warnings.extend(self.segments.warnings());
        warnings
    }
}
