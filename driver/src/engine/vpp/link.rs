//! What joins an endpoint's own port, which the agent serves, with VPP: a domain of the agent's data path
//! with two ports, the endpoint's and one at which VPP is the memif client.
//!
//! VPP connects, because it then comes back by itself after either side was away.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dataplane::{
    Dataplane, DataplaneError, DomainConfig, DomainId, DropReason, MemifConfig, PortConfig, PortId,
};

use super::plan::{app_socket, link_socket};
use crate::engine::EngineError;
use crate::host::socket::{SocketKind, listen_path};
use crate::model::{EndpointId, EndpointSpec};

/// Addresses behind VPP that are known at a time: all of a network are behind one port.
const ADDRESSES: usize = 1 << 16;

/// The links of all endpoints.
#[derive(Debug)]
pub(super) struct Links {
    directory: PathBuf,
    links: Mutex<HashMap<EndpointId, Link>>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    domain: DomainId,
    /// None for an endpoint in VPP's own host stack that has no vhost-user device.
    vpp: Option<PortId>,
}

impl Links {
    /// Keeps sockets in `directory`, which only this user may enter.
    pub(super) fn new(directory: PathBuf) -> Result<Self, EngineError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|source| EngineError::Io {
            what: format!("cannot make {} for sockets to VPP", directory.display()),
            source,
        })?;
        Ok(Self { directory, links: Mutex::default() })
    }

    /// Where the sockets are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the endpoint's port, and where it is `joined` waits for VPP at the other. Fails whole.
    pub(super) fn make(
        &self,
        dataplane: &Dataplane,
        endpoint: &EndpointSpec,
        mtu: u32,
        joined: bool,
    ) -> Result<PortId, EngineError> {
        let name = endpoint.id.short();
        let domain = dataplane.create_domain(DomainConfig {
            mtu,
            learn_limit_per_port: ADDRESSES,
            ..DomainConfig::new(name)
        })?;
        let made = self.make_ports(dataplane, endpoint, domain, joined);
        match made {
            Ok((port, vpp)) => {
                self.lock().insert(endpoint.id.clone(), Link { domain, vpp });
                Ok(port)
            }
            Err((error, ports)) => {
                for port in ports {
                    let _ = dataplane.delete_port(port);
                }
                let _ = dataplane.delete_domain(domain);
                Err(error)
            }
        }
    }

    fn make_ports(
        &self,
        dataplane: &Dataplane,
        endpoint: &EndpointSpec,
        domain: DomainId,
        joined: bool,
    ) -> Result<(PortId, Option<PortId>), (EngineError, Vec<PortId>)> {
        let create = |config| dataplane.create_port(domain, config).map_err(EngineError::from);
        let name = endpoint.id.short();
        let port = create(PortConfig::new(name, Some(endpoint.mac)));
        let port = port.map_err(|error| (error, vec![]))?;
        if !joined {
            return Ok((port, None));
        }
        // What a kernel gave VPP to be cut VPP passes on as it is, with a checksum that nobody completes.
        let vpp = PortConfig { uncut: true, ..PortConfig::new(format!("{name}/vpp"), None) };
        let vpp = create(vpp).map_err(|error| (error, vec![port]))?;
        let served = self.serve(dataplane, &endpoint.id, vpp);
        served.map(|()| (port, Some(vpp))).map_err(|error| (error, vec![port, vpp]))
    }

    fn serve(
        &self,
        dataplane: &Dataplane,
        endpoint: &EndpointId,
        vpp: PortId,
    ) -> Result<(), EngineError> {
        let path = PathBuf::from(link_socket(&self.directory, endpoint).0);
        let listener = listen_path(&path, SocketKind::SeqPacket).map_err(|source| {
            EngineError::Io { what: format!("cannot listen on {} for VPP", path.display()), source }
        })?;
        let config = MemifConfig {
            name: format!("dockervpp/{}", endpoint.short()),
            // VPP does not seal its memory.
            trust_regions: true,
            ..MemifConfig::default()
        };
        Ok(dataplane.listen_memif(vpp, vec![listener], &config)?)
    }

    /// What the agent dropped on the way between the endpoint's port and VPP, by reason.
    pub(super) fn drops(
        &self,
        dataplane: &Dataplane,
        endpoint: &EndpointId,
    ) -> Option<[u64; DropReason::ALL.len()]> {
        let port = self.lock().get(endpoint)?.vpp?;
        // One that is being removed has dropped nothing that anybody looks for.
        dataplane.port(port).ok().map(|status| status.counters.drops)
    }

    /// Removes what [`Links::make`] made, after the endpoint's port is gone.
    pub(super) fn remove(
        &self,
        dataplane: &Dataplane,
        endpoint: &EndpointId,
    ) -> Result<(), EngineError> {
        if let Some(link) = self.lock().get(endpoint).copied() {
            match link.vpp.map_or(Ok(()), |port| dataplane.delete_port(port)) {
                Ok(()) | Err(DataplaneError::NoPort(_)) => {}
                Err(error) => return Err(error.into()),
            }
            match dataplane.delete_domain(link.domain) {
                Ok(()) | Err(DataplaneError::NoDomain(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.lock().remove(endpoint);
        for path in self.sockets(endpoint) {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    let what = format!("cannot remove {}", path.display());
                    return Err(EngineError::Io { what, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The files of an endpoint: the agent's socket, and VPP's, of which it has one.
    fn sockets(&self, endpoint: &EndpointId) -> [PathBuf; 2] {
        let link = link_socket(&self.directory, endpoint).0;
        [link, app_socket(&self.directory, endpoint)].map(PathBuf::from)
    }

    /// Removes the sockets that an agent left which died.
    pub(super) fn sweep(&self) -> Result<(), EngineError> {
        let io = |source| EngineError::Io {
            what: format!("cannot tidy up {}", self.directory.display()),
            source,
        };
        let links = self.lock();
        let kept: Vec<PathBuf> = links.keys().flat_map(|endpoint| self.sockets(endpoint)).collect();
        for entry in fs::read_dir(&self.directory).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if !kept.contains(&path) {
                fs::remove_file(&path).map_err(io)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Link>> {
        // Changed by single insertions and removals.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        // VPP need not try sockets that nobody serves. What cannot be removed is swept at the next start.
        for endpoint in self.lock().keys() {
            let _ = fs::remove_file(link_socket(&self.directory, endpoint).0);
        }
    }
}
