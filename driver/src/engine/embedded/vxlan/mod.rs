//! Networks that other hosts have too: who these are, now.
//!
//! * `capture`: their names in captures.
//! * `file`: a file that names them; pure.
//! * `mtu`: what the way to them leaves; pure.
//!
//! The hosts of a network are those named with it and those of its file, without this one. A change of the file
//! is taken over while traffic runs. Of a file with a mistake nothing is: what held before holds on, and the
//! log and the warnings of the agent say so.

mod capture;
mod file;
mod mtu;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use dataplane::control::VxlanStatus;
use dataplane::vxlan::{Peer, VxlanConfig, underlay};
use dataplane::{Dataplane, DomainId};

use self::capture::PeerCapture;
use crate::engine::{EngineError, FrameSource};
use crate::host::file_watch::FileWatch;
use crate::model::{NetworkId, NetworkSpec, VxlanSpec};

/// The networks of this agent that other hosts have too.
#[derive(Debug)]
pub(super) struct Segments {
    shared: Arc<Shared>,
    /// From the first network with a file on.
    watch: Mutex<Option<FileWatch>>,
}

#[derive(Debug)]
struct Shared {
    dataplane: Dataplane,
    segments: Mutex<BTreeMap<NetworkId, Segment>>,
}

#[derive(Debug)]
struct Segment {
    domain: DomainId,
    mtu: u32,
    spec: VxlanSpec,
    /// Those of the file when it was read well last.
    from_file: Vec<Peer>,
    /// The bytes of the file when it was looked at last.
    seen: Option<Vec<u8>>,
    /// What is wrong with the file.
    trouble: Option<String>,
    /// Why the data path did not take the hosts.
    refused: Option<String>,
    /// Peers to which the longest packets of the network do not fit.
    narrow: Vec<String>,
    /// What the data path has.
    held: Option<Held>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    peers: Vec<Peer>,
    own: Vec<IpAddr>,
}

/// Peers as the host's kernel sees them.
struct Looked {
    /// Addresses of this host among them.
    own: Vec<IpAddr>,
    /// The others, and what the ways to them take.
    ways: Vec<(Peer, Option<u32>)>,
}

impl Segments {
    pub(super) fn new(dataplane: Dataplane) -> Self {
        let shared = Shared { dataplane, segments: Mutex::default() };
        Self { shared: Arc::new(shared), watch: Mutex::default() }
    }

    /// What a new network shall be: with the MTU that the way to the other hosts leaves, if none was chosen.
    pub(super) fn prepare(network: &NetworkSpec) -> Result<NetworkSpec, EngineError> {
        let Some(vxlan) = &network.vxlan else { return Ok(network.clone()) };
        let named = match &vxlan.peers_file {
            None => Vec::new(),
            Some(path) => read(path)
                .map_err(|error| error.to_string())
                .and_then(|bytes| file::parse(&bytes, vxlan.port).map_err(|it| it.to_string()))
                .map_err(|why| EngineError::Host {
                    what: format!("the file of peers {} cannot be used: {why}", path.display()),
                    remedy: "correct it, or name the peers with `vxlan.peers`".to_owned(),
                })?,
        };
        let peers = together(vxlan, &named).map_err(|why| EngineError::Host {
            what: format!("the peers of `vxlan.peers` and `vxlan.peers-file` do not fit: {why}"),
            remedy: "correct one of them".to_owned(),
        })?;
        let mtu = mtu::decide(network, &look(vxlan, peers).ways)?;
        Ok(NetworkSpec { mtu, ..network.clone() })
    }

    /// Takes up a network whose domain was made, if other hosts have it too.
    pub(super) fn open(&self, network: &NetworkSpec, domain: DomainId) -> Result<(), EngineError> {
        let Some(vxlan) = &network.vxlan else { return Ok(()) };
        let mut segment = Segment {
            domain,
            mtu: network.mtu,
            spec: vxlan.clone(),
            from_file: Vec::new(),
            seen: None,
            trouble: None,
            refused: None,
            narrow: Vec::new(),
            held: None,
        };
        if let Some(path) = &vxlan.peers_file {
            self.watch(path);
        }
        segment.reload(&network.id);
        segment.apply(&network.id, &self.shared.dataplane)?;
        self.shared.lock().insert(network.id.clone(), segment);
        Ok(())
    }

    /// Forgets a network; its domain goes with its peers.
    pub(super) fn close(&self, network: &NetworkId) {
        self.shared.lock().remove(network);
    }

    /// What a network's segment looks like.
    pub(super) fn status(&self, network: &NetworkId) -> Result<Option<VxlanStatus>, EngineError> {
        let domain = self.shared.lock().get(network).map(|segment| segment.domain);
        let Some(domain) = domain else { return Ok(None) };
        Ok(self.shared.dataplane.vxlan(domain)?)
    }

    /// A capture in which the ports of other hosts have their addresses for names.
    pub(super) fn with_peers(&self, source: Box<dyn FrameSource>) -> Box<dyn FrameSource> {
        Box::new(PeerCapture { source, shared: Arc::downgrade(&self.shared) })
    }

    /// Looks again at files and at the ways to peers: routes and addresses of this host come later, and not every
    /// file system tells of changes.
    pub(super) fn tend(&self) {
        let files: Vec<_> =
            self.shared.lock().values().filter_map(|it| it.spec.peers_file.clone()).collect();
        for path in &files {
            self.watch(path);
        }
        self.shared.refresh();
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let segments = self.shared.lock();
        let warnings = segments.iter().flat_map(|(network, segment)| {
            let told = segment.trouble.iter().chain(&segment.refused).chain(&segment.narrow);
            told.map(move |it| format!("network {}: {it}", network.short()))
        });
        warnings.collect()
    }

    fn watch(&self, path: &Path) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none() {
            let shared = Arc::downgrade(&self.shared);
            let started =
                FileWatch::start(move || Weak::upgrade(&shared).iter().for_each(|it| it.refresh()));
            *watch = started
                .inspect_err(|error| tracing::warn!(%error, "files of peers are looked at now and then only"))
                .ok();
        }
        // A folder that is not there is told of when its file is read.
        if let Some(Err(error)) = watch.as_ref().map(|watch| watch.add(path)) {
            tracing::debug!(path = %path.display(), %error, "cannot watch a file of peers");
        }
    }
}

impl Shared {
    fn refresh(&self) {
        for (network, segment) in self.lock().iter_mut() {
            segment.reload(network);
            let applied = segment.apply(network, &self.dataplane);
            let refused =
                applied.err().map(|error| format!("its peers stay as they were: {error}"));
            if let Some(refused) = refused.as_ref().filter(|_| segment.refused != refused) {
                tracing::warn!(network = network.short(), "{refused}");
            }
            segment.refused = refused;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NetworkId, Segment>> {
        // Each field of a segment is set when what it says holds.
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Segment {
    /// Reads the file if it has changed, and takes its hosts over if it has no mistake.
    fn reload(&mut self, network: &NetworkId) {
        let Some(path) = self.spec.peers_file.clone() else { return };
        let bytes = read(&path);
        if bytes.as_ref().ok().is_some_and(|bytes| self.seen.as_ref() == Some(bytes)) {
            return;
        }
        let parsed = match &bytes {
            Ok(bytes) => file::parse(bytes, self.spec.port).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let fits = parsed.and_then(|named| together(&self.spec, &named).map(|_| named));
        self.seen = bytes.ok();
        match fits {
            Ok(named) => {
                self.from_file = named;
                self.trouble = None;
            }
            Err(why) => {
                let trouble = format!(
                    "the file of peers {} is not used, what held before holds on: {why}",
                    path.display()
                );
                if self.trouble.as_ref() != Some(&trouble) {
                    tracing::warn!(network = network.short(), "{trouble}");
                }
                self.trouble = Some(trouble);
            }
        }
    }

    /// Has the data path know the hosts.
    fn apply(&mut self, network: &NetworkId, dataplane: &Dataplane) -> Result<(), EngineError> {
        // It was looked at when the file was read.
        let peers = together(&self.spec, &self.from_file).unwrap_or_default();
        let Looked { own, ways } = look(&self.spec, peers);
        self.narrow = ways
            .iter()
            .filter(|(peer, mtu)| mtu.is_some_and(|mtu| mtu < self.mtu + peer.overhead()))
            .map(|(peer, mtu)| {
                let mtu = mtu.unwrap_or_default();
                format!(
                    "the way to the peer {peer} takes packets of {mtu} bytes, and the network's MTU of {} needs {}: \
                     longer ones are dropped",
                    self.mtu,
                    self.mtu + peer.overhead()
                )
            })
            .collect();
        let held = Held { peers: ways.into_iter().map(|(peer, _)| peer).collect(), own };
        if self.held.as_ref() == Some(&held) {
            return Ok(());
        }
        dataplane.set_vxlan_peers(self.domain, &held.peers, held.own.clone())?;
        let shown: Vec<_> = held.peers.iter().map(ToString::to_string).collect();
        tracing::info!(network = network.short(), vni = %self.spec.vni, peers = shown.join(" "), "peers of a network");
        for warning in &self.narrow {
            tracing::warn!(network = network.short(), "{warning}");
        }
        self.held = Some(held);
        Ok(())
    }
}

/// What the data path is told of a network that other hosts have too.
pub(super) fn config(network: &NetworkSpec) -> Option<VxlanConfig> {
    let vxlan = network.vxlan.as_ref()?;
    let ipv4 = network.ipv4.iter().filter_map(|pool| pool.gateway.map(IpAddr::from));
    let ipv6 = network.ipv6.iter().filter_map(|pool| pool.gateway.map(IpAddr::from));
    Some(VxlanConfig { vni: vxlan.vni, local: vxlan.vtep(), anycast: ipv4.chain(ipv6).collect() })
}

/// All hosts that are named, this one included; or why they do not fit.
fn together(vxlan: &VxlanSpec, from_file: &[Peer]) -> Result<Vec<Peer>, String> {
    let peers = Peer::list(vxlan.peers.as_slice().iter().chain(from_file).copied());
    let peers = peers.map_err(|error| error.to_string())?;
    let foreign = |local: IpAddr| peers.iter().find(|it| it.ip().is_ipv4() != local.is_ipv4());
    match vxlan.local.and_then(|local| Some((local, foreign(local)?))) {
        None => Ok(peers),
        Some((local, peer)) => {
            Err(format!("{peer} is of another IP version than `vxlan.local`, {local}"))
        }
    }
}

fn look(vxlan: &VxlanSpec, peers: Vec<Peer>) -> Looked {
    let mut looked = Looked { own: Vec::new(), ways: Vec::new() };
    looked.own.extend(vxlan.local);
    for peer in peers {
        match underlay::way(vxlan.local, peer) {
            Ok(way) if way.own || vxlan.local == Some(peer.ip()) => looked.own.push(peer.ip()),
            way => looked.ways.push((peer, way.ok().map(|way| way.mtu))),
        }
    }
    looked.own.sort_unstable();
    looked.own.dedup();
    looked
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(file::MOST_BYTES).unwrap_or(u64::MAX) + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
