//! The engine that drives FD.io VPP, over its binary API.
//!
//! A network is a bridge domain with a loopback as its gateway, in tables of its own; an endpoint is a
//! memif interface to the agent, which has the container's link or its network stack, and one for each
//! memif socket in the container, which VPP itself serves. Where all that is described, compared and
//! carried out:
//!
//! * `tag`, `state`: objects of VPP, and how this agent's are known.
//! * `plan`: what VPP should have; `observe`: what it has; `diff`: the steps between. Pure.
//! * `inspect`, `apply`: asking and telling VPP; `controller`: when that is done.
//! * `policy`: what nobody may rely on here.
//! * `container`: memif sockets in containers; `publish`: who has which port of the host.
//! * `hosts`: endpoints in VPP's own host stack, and their processes; `linger`, `connections`: what of them outlives them.
//! * `lent`: addresses of the agent's stacks that memif clients have.
//! * `link`: between the agent's port and VPP; `counters`: what VPP counts.
//!
//! The container's side is that of every engine (`attachment`).

mod apply;
mod cli_text;
mod connections;
mod container;
mod controller;
mod counters;
mod diff;
mod hosts;
mod inspect;
mod lent;
mod linger;
mod link;
mod observe;
mod plan;
mod policy;
mod publish;
mod required;
mod state;
mod tag;
mod view;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::control;
use session::broker::NetworkKey;
use vpp_api_client::api::vlib::CliInband;
use vpp_api_client::api::vpe::ShowVersion;

use self::container::ContainerSockets;
use self::controller::{Controller, Setting};
use self::counters::Counters;
use self::hosts::Hosts;
use self::lent::LentAddresses;
use self::link::Links;
use self::plan::{EndpointPlan, FrontEnd, Rest, app_socket, link_socket};
use self::required::FOR_HOSTS;
use self::state::UDP;
use self::tag::{IdStart, Owner, Side, Tag};
use self::view::{has_link, memif_owner};
use super::attachment::{
    AttachmentOptions, Attachments, Endpoint, HostStacks, MemifService, different,
};
use super::session::{ListenerStatus, SessionStatus};
use super::{
    Attachment, CaptureScope, EndpointStatus, Engine, EngineError, FdbLine, FrameSource, Lead,
    PublishedAt, Restored,
};
use crate::model::{
    AttachKind, EndpointId, EndpointSpec, NetworkId, NetworkSpec, PortMapping, Protocol,
    SandboxKey, TcpStack,
};

pub use self::hosts::VclOptions;

/// How VPP is driven.
#[derive(Debug, Clone)]
pub struct VppOptions {
    /// VPP's API socket.
    pub api_socket: PathBuf,
    /// The socket at which VPP gives its counters away.
    pub stats_socket: PathBuf,
    /// VPP's name of the interface to the outside; none leaves networks without a way out.
    pub outside: Option<String>,
    /// How endpoints get into VPP's host stack.
    pub vcl: VclOptions,
    /// Where the agent keeps its sockets to VPP; nobody else's files are in there.
    pub directory: PathBuf,
    /// How endpoints are attached to containers.
    pub attachment: AttachmentOptions,
}

/// The engine. Dropping it leaves VPP's objects as they are: memif clients go on, and the next agent
/// takes all up again.
#[derive(Debug)]
pub struct VppEngine {
    attachments: Attachments,
    controller: Arc<Controller>,
    links: Links,
    counters: Counters,
    hosts: Arc<Hosts>,
    lent: Arc<LentAddresses>,
    networks: Mutex<Networks>,
}

#[derive(Debug, Default)]
struct Networks {
    known: HashMap<NetworkId, Network>,
    last_key: u64,
}

#[derive(Debug, Clone)]
struct Network {
    spec: Arc<NetworkSpec>,
    /// Its name at the session broker.
    key: NetworkKey,
}

impl Drop for VppEngine {
    fn drop(&mut self) {
        // The thread that talks with VPP may end later, and nothing of the data path is to wait for that.
        self.lent.clear();
    }
}

impl VppEngine {
    /// Starts the engine; VPP need not be there yet.
    pub fn start(options: VppOptions) -> Result<Self, EngineError> {
        let links = Links::new(options.directory)?;
        let hosts = Arc::new(Hosts::new(options.vcl));
        let lent = Arc::<LentAddresses>::default();
        let setting = Setting {
            socket: options.api_socket,
            owner: Owner::new(&options.attachment.owner),
            directory: links.directory().to_owned(),
            outside: options.outside,
            hosts: Arc::clone(&hosts),
            lent: Arc::clone(&lent),
        };
        let controller = Controller::start(setting).map_err(|source| EngineError::Io {
            what: "cannot start the thread that talks with VPP".to_owned(),
            source,
        })?;
        let controller = Arc::new(controller);
        let sockets = ContainerSockets::new(Arc::clone(&controller));
        let memif = MemifService::Engine(Arc::new(sockets));
        let host_stacks: Arc<dyn HostStacks> = Arc::clone(&hosts) as _;
        let attachments = Attachments::start(options.attachment, memif, Some(host_stacks))?;
        let counters = Counters::new(options.stats_socket);
        Ok(Self {
            attachments,
            controller,
            links,
            counters,
            hosts,
            lent,
            networks: Mutex::default(),
        })
    }

    /// Whether VPP answers at `socket`, and has the messages that the engine needs; says why not.
    pub fn probe(socket: &std::path::Path) -> Result<(), String> {
        controller::probe(socket)
    }

    fn networks(&self) -> MutexGuard<'_, Networks> {
        // Entries are whole: they are inserted when all else has succeeded.
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn network(&self, id: &NetworkId) -> Result<Network, EngineError> {
        let network = self.networks().known.get(id).cloned();
        network.ok_or_else(|| EngineError::NoNetwork(id.clone()))
    }

    /// Whether the network is new.
    fn know_network(&self, network: &NetworkSpec) -> Result<bool, EngineError> {
        let mut networks = self.networks();
        networks.last_key += 1;
        let key = NetworkKey(networks.last_key);
        match networks.known.entry(network.id.clone()) {
            Entry::Occupied(entry) if *entry.get().spec == *network => Ok(false),
            Entry::Occupied(_) => Err(different("network", network.id.as_str())),
            Entry::Vacant(entry) => {
                entry.insert(Network { spec: Arc::new(network.clone()), key });
                Ok(true)
            }
        }
    }

    /// Has VPP make what `concerns` picks; if VPP refuses, `undo` takes it back from the inventory.
    ///
    /// While the agent restores what it remembers, VPP may be away, and nothing is taken back: containers
    /// may run on it, and VPP is asked again from time to time.
    fn settle_new(
        &self,
        concerns: impl Fn(&Tag) -> bool + Copy,
        undo: impl FnOnce(),
    ) -> Result<(), EngineError> {
        if !self.controller.is_whole() {
            return self.controller.settle_or_later(concerns);
        }
        let settled = self.controller.settle(concerns);
        if settled.is_err() {
            undo();
            if let Err(error) = self.controller.settle_or_later(concerns) {
                tracing::warn!(%error, "VPP keeps something after a failure");
            }
        }
        settled
    }

    fn remove_endpoint(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        self.controller.change(|inventory| inventory.endpoints.remove(endpoint));
        let subject = Tag::port(endpoint, Side::Link).subject();
        self.controller.settle_or_later(|tag| tag.subject() == subject)?;
        self.lent.forget(endpoint);
        self.links.remove(self.attachments.dataplane(), endpoint)
    }

    /// Whether endpoints can be in VPP's host stack, on a network with this MTU.
    fn check_host_stack(&self, mtu: u32) -> Result<(), EngineError> {
        let (version, shown, tcp) = self.controller.ask(async |client, _| {
            client.require(FOR_HOSTS)?;
            let version = client.request(&ShowVersion {}).await?.version.to_string();
            let namespace = "show app ns id default api-clients".to_owned();
            let shown = client.request(&CliInband { cmd: namespace }).await?.reply;
            let tcp = client.request(&CliInband { cmd: "show tcp config".to_owned() }).await?.reply;
            Ok((version, shown, tcp))
        })?;
        if let Some(trouble) = cli_text::host_stack_trouble(&shown) {
            return Err(EngineError::Host {
                what: trouble.to_owned(),
                remedy: "put `session { enable use-app-socket-api use-private-rx-mqs }` into its \
                         startup.conf and start it again"
                    .to_owned(),
            });
        }
        if let Some(packet) = cli_text::tcp_mtu(&tcp).filter(|packet| *packet > mtu) {
            return Err(EngineError::Host {
                what: format!(
                    "VPP's TCP makes packets of {packet} bytes, and the network's MTU is {mtu}"
                ),
                remedy: format!(
                    "choose an MTU of {packet} or more, or put `tcp {{ mtu {mtu} }}` into VPP's \
                     startup.conf and start it again"
                ),
            });
        }
        self.hosts.check_library(&version)
    }
}

impl Engine for VppEngine {
    fn name(&self) -> &'static str {
        "vpp"
    }

    fn create_network(&self, network: &NetworkSpec) -> Result<(), EngineError> {
        policy::check(&network.policy)?;
        policy::check_hosts(network)?;
        let tag = Tag::network(&network.id);
        if network.tcp == TcpStack::Vcl && self.controller.is_whole() {
            self.check_host_stack(network.mtu)?;
        }
        if !self.know_network(network)? {
            return self.controller.settle_or_later(|of| *of == tag);
        }
        let id = network.id.clone();
        self.controller.change(|inventory| inventory.networks.insert(id, network.clone()));
        self.settle_new(
            |of| *of == tag,
            || {
                self.controller.change(|inventory| inventory.networks.remove(&network.id));
                self.networks().known.remove(&network.id);
            },
        )
    }

    fn delete_network(&self, network: &NetworkId) -> Result<(), EngineError> {
        self.controller.change(|inventory| inventory.networks.remove(network));
        let tag = Tag::network(network);
        self.controller.settle_or_later(|of| *of == tag)?;
        self.networks().known.remove(network);
        Ok(())
    }

    fn create_endpoint(&self, endpoint: &EndpointSpec) -> Result<(), EngineError> {
        policy::check(&endpoint.policy)?;
        let Network { spec, key } = self.network(&endpoint.network)?;
        let subject = Tag::port(&endpoint.id, Side::Link).subject();
        let in_vpp = spec.tcp_of(endpoint.attach) == Some(TcpStack::Vcl);
        if self.attachments.endpoints().find(&endpoint.id).is_some_and(|it| it.spec == *endpoint) {
            return self.controller.settle_or_later(|of| of.subject() == subject);
        }
        self.attachments.create(endpoint, || {
            let dataplane = self.attachments.dataplane();
            let joined = !in_vpp || endpoint.attach == AttachKind::VhostUser;
            let port = self.links.make(dataplane, endpoint, spec.mtu, joined)?;
            self.lent.know(&endpoint.id, dataplane, port);
            Ok(Endpoint::new(endpoint.clone(), spec, key, port))
        })?;
        let directory = self.links.directory();
        let rest =
            if in_vpp { Rest::Host(app_socket(directory, &endpoint.id)) } else { Rest::Link };
        self.controller.change(|inventory| {
            let plan = EndpointPlan {
                spec: endpoint.clone(),
                link: link_socket(directory, &endpoint.id),
                rest,
                memif: BTreeMap::new(),
                front_end: FrontEnd::Absent,
                published: BTreeMap::new(),
                // Only what an agent before this one has made could be there already.
                settled: inventory.whole,
            };
            inventory.endpoints.insert(endpoint.id.clone(), plan);
        });
        let undo = || {
            self.controller.change(|inventory| inventory.endpoints.remove(&endpoint.id));
            self.lent.forget(&endpoint.id);
            let removed = self
                .attachments
                .delete(&endpoint.id)
                .and_then(|_| self.links.remove(self.attachments.dataplane(), &endpoint.id));
            if let Err(error) = removed {
                tracing::warn!(endpoint = endpoint.id.short(), %error, "an endpoint was not taken down after a failure");
            }
        };
        self.settle_new(|of| of.subject() == subject, undo)
    }

    fn delete_endpoint(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        self.attachments.delete(endpoint)?;
        self.remove_endpoint(endpoint)
    }

    fn join(&self, endpoint: &EndpointId, sandbox: &SandboxKey) -> Result<Attachment, EngineError> {
        self.attachments.join(endpoint, sandbox)
    }

    fn leave(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        self.attachments.leave(endpoint)?;
        self.publish(endpoint, &[]).map(drop)
    }

    fn publish(
        &self,
        endpoint: &EndpointId,
        ports: &[PortMapping],
    ) -> Result<Vec<PortMapping>, EngineError> {
        if self.controller.outside().is_none() {
            return Ok(ports.to_vec());
        }
        let found = self.controller.change(|inventory| {
            let request = publish::Request::read(ports);
            inventory.publish(endpoint, &request).map(|()| request.unserved)
        });
        let unserved = found.map_err(|taken| EngineError::Host {
            what: taken.to_string(),
            remedy: "choose another port".to_owned(),
        })?;
        let start = IdStart::from(endpoint);
        let settled = self
            .controller
            .settle_or_later(|tag| matches!(tag, Tag::Published(id, _) if *id == start));
        if settled.is_err() {
            self.controller.change(|inventory| inventory.unpublish(endpoint));
        }
        settled.map(|()| unserved)
    }

    fn published(&self, endpoint: &EndpointId) -> Vec<PublishedAt> {
        let start = IdStart::from(endpoint);
        let sight = self.controller.sight();
        let own = sight
            .state
            .published
            .iter()
            .filter(|(_, inside)| matches!(&inside.tag, Tag::Published(id, _) if *id == start));
        own.map(|(outside, inside)| PublishedAt {
            protocol: if outside.protocol == UDP { Protocol::Udp } else { Protocol::Tcp },
            host_ip: outside.address.map(IpAddr::V4),
            host_port: outside.port,
            container_port: inside.port,
            lead: Lead::Packets,
        })
        .collect()
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
        // All that the agent remembers has been created again: what else is at VPP is nobody's.
        self.controller.change(|inventory| inventory.whole = true);
        self.controller.settle_or_later(|_| false)?;
        self.links.sweep()?;
        self.attachments.sweep(known)
    }

    fn endpoint_status(
        &self,
        endpoint: &EndpointId,
    ) -> Result<Option<EndpointStatus>, EngineError> {
        self.status(endpoint)
    }

    fn sessions(&self) -> Vec<SessionStatus> {
        self.attachments.sessions()
    }

    fn listeners(&self) -> Vec<ListenerStatus> {
        self.attachments.listeners()
    }

    fn fdb(&self, network: &NetworkId) -> Result<Vec<FdbLine>, EngineError> {
        self.network(network)?;
        self.fdb_lines(network)
    }

    fn capture(
        &self,
        scope: &CaptureScope,
        snap_length: u32,
    ) -> Result<Box<dyn FrameSource>, EngineError> {
        let endpoint = match scope {
            CaptureScope::Endpoint(id) => self.attachments.endpoints().get(id)?,
            CaptureScope::Network(id) => {
                self.network(id)?;
                return Err(EngineError::Host {
                    what: "VPP forwards this network's frames, and the agent does not see them all"
                        .to_owned(),
                    remedy: "capture one endpoint, or use VPP's own `vppctl pcap trace rx tx`"
                        .to_owned(),
                });
            }
        };
        let in_vpp = endpoint.network.tcp_of(endpoint.spec.attach) == Some(TcpStack::Vcl);
        let (sight, id) = (self.controller.sight(), &endpoint.spec.id);
        if (in_vpp && !has_link(&sight, id)) || memif_owner(&sight, id).is_some() {
            return Err(EngineError::Host {
                what:
                    "the endpoint's frames do not pass the agent: its memif client or VPP's host \
                       stack has them"
                        .to_owned(),
                remedy: "use VPP's own `vppctl pcap trace rx tx`".to_owned(),
            });
        }
        self.attachments.capture(control::CaptureScope::Port(endpoint.port), snap_length)
    }

    fn take_turns(&self) -> Result<(), EngineError> {
        Ok(self.attachments.dataplane().take_turns()?)
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.attachments.warnings();
        warnings.extend(self.controller.trouble().map(|why| format!("VPP is away: {why}")));
        warnings.extend(self.controller.missing_outside().map(|name| {
            format!("VPP has no interface {name}: networks have no way out until it is there")
        }));
        warnings.extend(self.controller.refusals());
        warnings.extend(self.hosts.warnings());
        warnings.extend(
            self.counters
                .read()
                .err()
                .map(|why| format!("counters of memif clients are missing: {why}")),
        );
        warnings
    }
}
