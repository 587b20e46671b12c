//! Endpoints in VPP's host stack: the processes that attach there for them, and when they may.
//!
//! A process attaches while VPP has the endpoint's app namespace and neither a memif client nor a vhost-user front end has
//! the endpoint's address. What VPP has the controller tells, after each of its comparisons.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session::broker::{EndpointKey, Service};
use transport::Host;
use transport::vcl::{Control, Detaching, Program, Release, Status, VclAttach, find_library};

use super::observe::Sight;
use super::tag::{IdStart, Side, Tag};
use crate::engine::EngineError;
use crate::engine::attachment::HostStacks;
use crate::model::EndpointId;

/// How long connections may take to be reset before their address is somebody else's.
const PARTING: Duration = Duration::from_secs(1);

/// How endpoints get into VPP's host stack.
#[derive(Debug, Clone)]
pub struct VclOptions {
    /// What attaches for an endpoint.
    pub program: Program,
    /// The libvppcom to load; none means the one of VPP's release in the usual places.
    pub library: Option<PathBuf>,
}

/// The processes of all endpoints in VPP's host stack.
#[derive(Debug)]
pub(super) struct Hosts {
    options: VclOptions,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    controls: BTreeMap<IdStart, Control>,
    /// Paths of app sockets at which a process may attach now.
    ready: BTreeMap<IdStart, String>,
    /// Of the VPP that is, or was last, there.
    release: Option<Release>,
}

impl Hosts {
    pub(super) fn new(options: VclOptions) -> Self {
        Self { options, known: Mutex::default() }
    }

    /// The libvppcom for a VPP that calls itself `version`.
    pub(super) fn check_library(&self, version: &str) -> Result<(), EngineError> {
        let found = match Release::of_version(version) {
            Some(release) => self.library(release).map(drop),
            None => Err(format!("`{version}` is no release of VPP that has a libvppcom")),
        };
        found.map_err(|what| EngineError::Host {
            what,
            remedy: "install the libraries that belong to this VPP, or name the file with \
                     `--vpp-vcl-library`"
                .to_owned(),
        })
    }

    fn library(&self, release: Release) -> Result<PathBuf, String> {
        let found = find_library(release, self.options.library.as_deref());
        found.map_err(|error| error.to_string())
    }

    /// VPP is there, and of this version. What was attached to one of another release must not go on.
    pub(super) fn meet(&self, version: &str) {
        let release = Release::of_version(version);
        let mut known = self.lock();
        if known.release != release {
            known.ready.clear();
            known.controls.values().for_each(|control| drop(control.detach()));
            known.release = release;
        }
    }

    /// Ends the processes of endpoints whose address or namespace VPP is about to give away, so that their peers see
    /// resets; to be waited for.
    pub(super) fn leave(&self, tags: &BTreeSet<Tag>) -> Leaving {
        let mut known = self.lock();
        let mut leaving = Vec::new();
        for id in tags.iter().filter_map(id_of) {
            if known.ready.remove(id).is_some() {
                leaving.extend(known.controls.get(id).map(Control::detach));
            }
        }
        Leaving(leaving)
    }

    /// Follows what VPP has now; the namespaces `made` are new.
    pub(super) fn follow(
        &self,
        sight: &Sight,
        failed: impl Fn(&Tag) -> bool,
        made: &BTreeSet<Tag>,
    ) {
        let owners: BTreeSet<&Tag> = sight.state.pins.values().collect();
        let whole = |host: &Tag| {
            let sides = [Side::Host, Side::Inner, Side::Outer].map(|side| host.beside(side));
            let owns = sides[2].as_ref().is_some_and(|outer| owners.contains(outer));
            owns && !sides.iter().flatten().any(&failed)
        };
        let namespaces = sight.state.namespaces.iter().filter(|(host, _)| whole(host));
        let ready =
            namespaces.filter_map(|(host, it)| Some((id_of(host)?.clone(), it.socket.clone())));
        let made: BTreeSet<&IdStart> = made.iter().filter_map(id_of).collect();
        let mut known = self.lock();
        known.ready = ready.collect();
        let library = known.release.map(|release| (release, self.library(release)));
        for (id, control) in &known.controls {
            match known.attach(id, library.as_ref()) {
                Some(attach) if made.contains(id) => control.attach_anew(attach),
                Some(attach) => control.attach(attach),
                None => drop(control.detach()),
            }
        }
    }

    /// Whether sessions of the endpoint go over VPP.
    pub(super) fn is_attached(&self, endpoint: &EndpointId) -> bool {
        let known = self.lock();
        let control = known.controls.get(&endpoint.into());
        control.is_some_and(|control| control.status() == Status::Attached)
    }

    /// What does not work, in words.
    pub(super) fn warnings(&self) -> Vec<String> {
        let known = self.lock();
        let mut warnings = Vec::new();
        if !known.controls.is_empty() {
            warnings.extend(known.release.and_then(|release| self.library(release).err()));
        }
        for (id, control) in &known.controls {
            if let Status::Ended(how) = control.status() {
                warnings.push(format!(
                    "the process of endpoint {id} for VPP's host stack ended ({how}) and is started again; \
                     the agent's log says why"
                ));
            }
        }
        warnings
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Changed by single insertions, removals and replacements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Where the process of an endpoint attaches, if it may.
    fn attach(
        &self,
        id: &IdStart,
        library: Option<&(Release, Result<PathBuf, String>)>,
    ) -> Option<VclAttach> {
        let (release, Ok(library)) = library? else { return None };
        Some(VclAttach {
            socket: self.ready.get(id)?.clone(),
            name: format!("dockervpp-{id}"),
            release: *release,
            library: Some(library.clone()),
            fifo: VclAttach::FIFO,
        })
    }
}

impl HostStacks for Hosts {
    fn start(
        &self,
        endpoint: &EndpointId,
        key: EndpointKey,
        broker: &Service,
    ) -> Result<Host, EngineError> {
        let started = Host::start_vcl(key, self.options.program.clone(), broker.handle());
        let (host, control) = started.map_err(|source| EngineError::Io {
            what: "cannot look after an endpoint in VPP's host stack".to_owned(),
            source,
        })?;
        let id = IdStart::from(endpoint);
        let mut known = self.lock();
        let library = known.release.map(|release| (release, self.library(release)));
        if let Some(attach) = known.attach(&id, library.as_ref()) {
            control.attach(attach);
        }
        known.controls.insert(id, control);
        Ok(host)
    }

    fn stop(&self, endpoint: &EndpointId) {
        self.lock().controls.remove(&endpoint.into());
    }
}

/// Processes that are about to end.
#[derive(Debug)]
pub(super) struct Leaving(Vec<Detaching>);

impl Leaving {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Blocks until they have.
    pub(super) fn wait(self) {
        for process in self.0 {
            if !process.wait(PARTING) {
                tracing::warn!("a process that is attached to VPP takes its time to end");
            }
        }
    }
}

fn id_of(tag: &Tag) -> Option<&IdStart> {
    match tag {
        Tag::Port(id, _) => Some(id),
        Tag::Network(_) | Tag::Published(..) => None,
    }
}
