//! An engine without packets, for tests: it remembers what it was told, and can fail or stop dead
//! at the nth call.
//!
//! [`World`] is what outlives an agent: the containers, and what an engine leaves on the host.
//! Several fakes on one world are the successive agents of one machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dataplane::PortCounters;
use dataplane::control::CapturedFrame;
use transport::HostCounters;

use super::{
    Attachment, CaptureScope, EndpointStatus, Engine, EngineError, FdbLine, FrameSource, Restored,
};
use crate::model::{
    Antispoof, EndpointId, EndpointSpec, NetworkId, NetworkSpec, PortMapping, Protocol, SandboxKey,
};

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and does nothing.
    Fail,
    /// The agent dies (a panic) before the call does anything.
    DieBefore,
    /// The agent dies (a panic) after the call took effect.
    DieAfter,
}

/// A call that the engine got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// [`Engine::create_network`]
    CreateNetwork(NetworkId),
    /// [`Engine::delete_network`]
    DeleteNetwork(NetworkId),
    /// [`Engine::create_endpoint`]
    CreateEndpoint(EndpointId),
    /// [`Engine::delete_endpoint`]
    DeleteEndpoint(EndpointId),
    /// [`Engine::join`]
    Join(EndpointId, SandboxKey),
    /// [`Engine::leave`]
    Leave(EndpointId),
    /// [`Engine::rejoin`]
    Rejoin(EndpointId, SandboxKey),
}

/// The host around the engines.
#[derive(Debug, Clone, Default)]
pub struct World {
    host: Arc<Mutex<Host>>,
}

#[derive(Debug, Default)]
struct Host {
    dead_sandboxes: BTreeSet<std::path::PathBuf>,
    links: BTreeSet<EndpointId>,
}

impl World {
    /// The container of this sandbox ends, and its namespace with it.
    pub fn kill(&self, sandbox: &SandboxKey) {
        self.host().dead_sandboxes.insert(sandbox.0.clone());
    }

    /// Endpoints of which something is on the host.
    pub fn links(&self) -> BTreeSet<EndpointId> {
        self.host().links.clone()
    }

    fn is_alive(&self, sandbox: &SandboxKey) -> bool {
        !self.host().dead_sandboxes.contains(&sandbox.0)
    }

    fn host(&self) -> MutexGuard<'_, Host> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine.
#[derive(Debug, Default)]
pub struct FakeEngine {
    world: World,
    fault: Option<(usize, Fault)>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<Call>,
    networks: BTreeMap<NetworkId, NetworkSpec>,
    endpoints: BTreeMap<EndpointId, (EndpointSpec, Option<SandboxKey>)>,
}

impl FakeEngine {
    /// An engine on a world.
    pub fn on(world: &World) -> Self {
        Self { world: world.clone(), ..Self::default() }
    }

    /// The same engine, with a fault at the nth call, counted from 0.
    #[must_use]
    pub fn with_fault(self, nth: usize, fault: Fault) -> Self {
        Self { fault: Some((nth, fault)), ..self }
    }

    /// The calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }

    /// The networks that it has.
    pub fn networks(&self) -> Vec<NetworkId> {
        self.inner().networks.keys().cloned().collect()
    }

    /// The endpoints that it has, with the sandbox that each is joined to.
    pub fn endpoints(&self) -> BTreeMap<EndpointId, Option<SandboxKey>> {
        let inner = self.inner();
        inner.endpoints.iter().map(|(id, (_, sandbox))| (id.clone(), sandbox.clone())).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act<T>(
        &self,
        call: &Call,
        effect: impl FnOnce(&mut Inner, &mut Host) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mut inner = self.inner();
        let nth = inner.calls.len();
        let fault = self.fault.filter(|(at, _)| *at == nth).map(|(_, fault)| fault);
        inner.calls.push(call.clone());
        match fault {
            Some(Fault::Fail) => {
                return Err(EngineError::Host {
                    what: format!("{call:?} was chosen to fail"),
                    remedy: "choose another call".to_owned(),
                });
            }
            Some(Fault::DieBefore) => panic!("the agent dies before {call:?}"),
            Some(Fault::DieAfter) | None => {}
        }
        let result = effect(&mut inner, &mut self.world.host());
        assert!(fault != Some(Fault::DieAfter), "the agent dies after {call:?}");
        result
    }
}

impl Engine for FakeEngine {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn create_network(&self, network: &NetworkSpec) -> Result<(), EngineError> {
        self.act(&Call::CreateNetwork(network.id.clone()), |inner, _| {
            inner.networks.insert(network.id.clone(), network.clone());
            Ok(())
        })
    }

    fn delete_network(&self, network: &NetworkId) -> Result<(), EngineError> {
        self.act(&Call::DeleteNetwork(network.clone()), |inner, _| {
            inner.networks.remove(network);
            Ok(())
        })
    }

    fn create_endpoint(&self, endpoint: &EndpointSpec) -> Result<(), EngineError> {
        self.act(&Call::CreateEndpoint(endpoint.id.clone()), |inner, _| {
            if !inner.networks.contains_key(&endpoint.network) {
                return Err(EngineError::NoNetwork(endpoint.network.clone()));
            }
            inner.endpoints.entry(endpoint.id.clone()).or_insert((endpoint.clone(), None));
            Ok(())
        })
    }

    fn delete_endpoint(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        self.act(&Call::DeleteEndpoint(endpoint.clone()), |inner, host| {
            inner.endpoints.remove(endpoint);
            host.links.remove(endpoint);
            Ok(())
        })
    }

    fn join(&self, endpoint: &EndpointId, sandbox: &SandboxKey) -> Result<Attachment, EngineError> {
        self.act(&Call::Join(endpoint.clone(), sandbox.clone()), |inner, host| {
            let Some((_, joined)) = inner.endpoints.get_mut(endpoint) else {
                return Err(EngineError::NoEndpoint(endpoint.clone()));
            };
            *joined = Some(sandbox.clone());
            host.links.insert(endpoint.clone());
            let name: String = format!("fk{}", endpoint.short()).chars().take(15).collect();
            Ok(Attachment { link: name.parse().expect("an id's start names a link") })
        })
    }

    /// Serves none, and refuses SCTP.
    fn publish(
        &self,
        _: &EndpointId,
        ports: &[PortMapping],
    ) -> Result<Vec<PortMapping>, EngineError> {
        if ports.iter().any(|mapping| mapping.protocol == Protocol::Sctp) {
            return Err(EngineError::Host {
                what: "SCTP is not supported".to_owned(),
                remedy: "publish other ports".to_owned(),
            });
        }
        Ok(ports.to_vec())
    }

    fn leave(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        self.act(&Call::Leave(endpoint.clone()), |inner, _| {
            if let Some((_, joined)) = inner.endpoints.get_mut(endpoint) {
                *joined = None;
            }
            Ok(())
        })
    }

    fn rejoin(&self, endpoint: &EndpointId, sandbox: &SandboxKey) -> Result<Restored, EngineError> {
        let alive = self.world.is_alive(sandbox);
        self.act(&Call::Rejoin(endpoint.clone(), sandbox.clone()), |inner, _| {
            let Some((_, joined)) = inner.endpoints.get_mut(endpoint) else {
                return Err(EngineError::NoEndpoint(endpoint.clone()));
            };
            if !alive {
                return Ok(Restored::Gone);
            }
            *joined = Some(sandbox.clone());
            Ok(Restored::Running)
        })
    }

    fn sandbox_alive(&self, _: &EndpointId, sandbox: &SandboxKey) -> Result<bool, EngineError> {
        Ok(self.world.is_alive(sandbox))
    }

    fn endpoint_status(
        &self,
        endpoint: &EndpointId,
    ) -> Result<Option<EndpointStatus>, EngineError> {
        Ok(self.inner().endpoints.get(endpoint).map(|(_, joined)| EndpointStatus {
            owner: "none",
            antispoof: Antispoof::None,
            interface: joined.as_ref().map(|_| "eth0".to_owned()),
            memif: None,
            vhost: None,
            sockets: joined.iter().map(|_| "@dockervpp/memif".to_owned()).collect(),
            counters: PortCounters::default(),
            engine_drops: BTreeMap::new(),
            host: joined.as_ref().map(|_| HostCounters::default()),
            sessions: None,
        }))
    }

    fn fdb(&self, network: &NetworkId) -> Result<Vec<FdbLine>, EngineError> {
        let inner = self.inner();
        if !inner.networks.contains_key(network) {
            return Err(EngineError::NoNetwork(network.clone()));
        }
        let of_network = inner.endpoints.values().filter(|(spec, _)| spec.network == *network);
        Ok(of_network
            .map(|(spec, _)| FdbLine {
                mac: spec.mac,
                endpoint: Some(spec.id.clone()),
                peer: None,
                pinned: true,
                age: Duration::ZERO,
            })
            .collect())
    }

    fn capture(
        &self,
        scope: &CaptureScope,
        snap_length: u32,
    ) -> Result<Box<dyn FrameSource>, EngineError> {
        let inner = self.inner();
        let endpoint = match scope {
            CaptureScope::Network(id) if !inner.networks.contains_key(id) => {
                return Err(EngineError::NoNetwork(id.clone()));
            }
            CaptureScope::Network(id) => {
                let of_network = |spec: &&EndpointSpec| spec.network == *id;
                inner.endpoints.values().map(|(spec, _)| spec).find(of_network)
            }
            CaptureScope::Endpoint(id) => match inner.endpoints.get(id) {
                Some((spec, _)) => Some(spec),
                None => return Err(EngineError::NoEndpoint(id.clone())),
            },
        };
        Ok(Box::new(FakeFrames {
            endpoint: endpoint.map(|spec| spec.id.clone()),
            snap_length,
            sent: 0,
        }))
    }
}

/// Two frames of 60 bytes, one each way, then silence.
#[derive(Debug)]
struct FakeFrames {
    endpoint: Option<EndpointId>,
    snap_length: u32,
    sent: u8,
}

impl FrameSource for FakeFrames {
    fn next(&mut self, timeout: Duration) -> Result<Option<CapturedFrame>, EngineError> {
        use dataplane::control::Direction;

        if self.sent == 2 {
            std::thread::sleep(timeout);
            return Ok(None);
        }
        self.sent += 1;
        let kept = usize::try_from(self.snap_length).unwrap_or(usize::MAX).min(60);
        Ok(Some(CapturedFrame {
            time: std::time::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789),
            port: dataplane::PortId(1),
            direction: if self.sent == 1 { Direction::Ingress } else { Direction::Egress },
            length: 60,
            data: vec![self.sent; kept].into(),
        }))
    }

    fn endpoint_of(&self, _: dataplane::PortId) -> Option<EndpointId> {
        self.endpoint.clone()
    }

    fn lost(&self) -> u64 {
        0
    }
}
