//! The abstract sockets of an endpoint: their names, and binding them in the sandbox.
//!
//! An endpoint has one set of sockets, memif, session and info, under its interface's name. The endpoint
//! that joined a sandbox first has a second set under plain names, for programs that know of one network
//! only.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use dataplane::MemifConfig;

use super::eth::{Mark, find_settled};
use super::info_server::{InfoServer, Ticket};
use crate::engine::EngineError;
use crate::host::socket::{AbstractName, ListenError, SocketKind, listen_abstract};
use crate::model::EndpointSpec;

/// The names of one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Names {
    memif: AbstractName,
    session: AbstractName,
    info: AbstractName,
}

impl Names {
    fn plain() -> Self {
        Self::below("dockervpp")
    }

    fn of_interface(interface: &str) -> Self {
        Self::below(&format!("dockervpp/{interface}"))
    }

    fn below(directory: &str) -> Self {
        let name = |leaf: &str| {
            AbstractName::new(format!("{directory}/{leaf}"))
                .expect("an interface's name is at most 15 bytes long")
        };
        Self { memif: name("memif"), session: name("session"), info: name("info") }
    }
}

/// A bound set.
#[derive(Debug)]
pub(in crate::engine) struct Set {
    names: Names,
    served: Served,
    info: OwnedFd,
}

/// The sockets of a set that others serve.
#[derive(Debug)]
pub(in crate::engine) struct Served {
    /// Where memif clients connect.
    pub(in crate::engine) name: AbstractName,
    /// For the data path; none where the engine binds it.
    pub(in crate::engine) memif: Option<OwnedFd>,
    /// For the session broker.
    pub(in crate::engine) session: OwnedFd,
}

impl Set {
    fn bind(names: Names, memif: bool) -> Result<Self, ListenError> {
        let memif =
            memif.then(|| listen_abstract(&names.memif, SocketKind::SeqPacket)).transpose()?;
        let session = listen_abstract(&names.session, SocketKind::Datagram)?;
        let info = listen_abstract(&names.info, SocketKind::Stream)?;
        let served = Served { name: names.memif.clone(), memif, session };
        Ok(Self { names, served, info })
    }
}

/// Where a set stands.
#[derive(Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Unbound,
    Bound(Names),
    /// Another program of the container has one of the names.
    Taken,
}

/// What is to be done on a visit in the sandbox.
#[derive(Debug)]
pub(in crate::engine) struct Errand {
    mark: Mark,
    plain: bool,
    /// The interface when it is known, and whether its set is wanted.
    interface: Option<String>,
    named: bool,
    /// Memif sockets are bound too.
    memif: bool,
}

/// What came of an [`Errand`].
#[derive(Debug)]
pub(in crate::engine) struct Findings {
    plain: Option<Result<Set, ListenError>>,
    named: Option<Result<Set, ListenError>>,
    interface: Option<String>,
}

impl Errand {
    /// Does it in the network namespace of the calling thread.
    pub(in crate::engine) fn perform(self) -> Result<Findings, EngineError> {
        let interface = match self.interface {
            Some(interface) => Some(interface),
            None => find_settled(&self.mark)?,
        };
        let wanted = interface.as_deref().filter(|_| self.named);
        Ok(Findings {
            plain: self.plain.then(|| Set::bind(Names::plain(), self.memif)),
            named: wanted.map(|interface| Set::bind(Names::of_interface(interface), self.memif)),
            interface,
        })
    }
}

/// The sockets of one joined endpoint.
#[derive(Debug, Default)]
pub(in crate::engine) struct Sockets {
    plain: Place,
    named: Place,
    interface: Option<String>,
    /// Bound info sockets whose clients wait until the document is complete.
    unserved: Vec<OwnedFd>,
    served: Vec<Ticket>,
}

impl Sockets {
    /// What is still to be done. `first`: the endpoint has the right to the plain names; `memif`: the
    /// agent binds the memif sockets.
    pub(in crate::engine) fn errand(&self, mark: Mark, first: bool, memif: bool) -> Errand {
        Errand {
            mark,
            plain: first && self.plain == Place::Unbound,
            interface: self.interface.clone(),
            named: self.named == Place::Unbound,
            memif,
        }
    }

    /// Whether all is bound that can be.
    pub(in crate::engine) fn complete(&self, first: bool) -> bool {
        self.named != Place::Unbound && !(first && self.plain == Place::Unbound)
    }

    /// Name of the interface in the container, once known.
    pub(in crate::engine) fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// The bound names, with the leading `@`.
    pub(in crate::engine) fn names(&self) -> Vec<String> {
        let bound = [&self.plain, &self.named].into_iter().filter_map(|place| match place {
            Place::Bound(Names { memif, session, info }) => {
                Some([memif, session, info].map(ToString::to_string))
            }
            Place::Unbound | Place::Taken => None,
        });
        bound.flatten().collect()
    }

    /// Takes what a visit brought; `serve` gets the sockets of each set.
    pub(in crate::engine) fn take(
        &mut self,
        findings: Findings,
        mut serve: impl FnMut(Served) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.interface = findings.interface;
        if let Some(bound) = findings.plain {
            self.plain = place(bound, &mut serve, &mut self.unserved)?;
        }
        if let Some(bound) = findings.named {
            self.named = place(bound, &mut serve, &mut self.unserved)?;
        }
        Ok(())
    }

    /// Serves `document` on all info sockets.
    pub(in crate::engine) fn publish(&mut self, server: &InfoServer, document: &Arc<[u8]>) {
        for ticket in &self.served {
            server.update(*ticket, Arc::clone(document));
        }
        for listener in self.unserved.drain(..) {
            match server.add(listener, Arc::clone(document)) {
                Ok(ticket) => self.served.push(ticket),
                Err(error) => tracing::warn!(%error, "an info socket cannot be served"),
            }
        }
    }

    /// Closes the info sockets and forgets all others, which who served them has closed.
    pub(in crate::engine) fn close(&mut self, server: &InfoServer) {
        for ticket in self.served.drain(..) {
            server.remove(ticket);
        }
        *self = Self::default();
    }
}

fn place(
    bound: Result<Set, ListenError>,
    serve: &mut impl FnMut(Served) -> Result<(), EngineError>,
    unserved: &mut Vec<OwnedFd>,
) -> Result<Place, EngineError> {
    match bound {
        Ok(set) => {
            serve(set.served)?;
            unserved.push(set.info);
            Ok(Place::Bound(set.names))
        }
        Err(ListenError::Taken(name)) => {
            tracing::warn!(%name, "another program of the container has bound the socket name");
            Ok(Place::Taken)
        }
        Err(error) => Err(super::error::from_listen(error)),
    }
}

/// What memif clients of an endpoint may do.
pub(super) fn memif_config(endpoint: &EndpointSpec) -> MemifConfig {
    let defaults = MemifConfig::default();
    let options = &endpoint.memif;
    MemifConfig {
        name: format!("dockervpp/{}", endpoint.id.short()),
        secret: options.secret.clone(),
        max_queues: options.queues.unwrap_or(defaults.max_queues),
        trust_regions: options.trusted,
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(label: &str) -> Set {
        let names = Names::below(&format!("dockervpp-test/{}/{label}", std::process::id()));
        Set::bind(names, true).unwrap()
    }

    fn mark() -> Mark {
        Mark { host_name: "dva".parse().unwrap(), alias: "a".to_owned() }
    }

    #[test]
    fn names_carry_the_interface() {
        let names = Names::of_interface("eth0");
        assert_eq!(names.memif.to_string(), "@dockervpp/eth0/memif");
        assert_eq!(Names::plain().info.to_string(), "@dockervpp/info");
    }

    #[test]
    fn only_the_first_endpoint_wants_the_plain_names() {
        let mut sockets = Sockets::default();
        assert!(sockets.errand(mark(), true, true).plain);
        assert!(!sockets.errand(mark(), false, true).plain);
        assert!(!sockets.complete(false));
        let interface = Some("eth1".to_owned());
        let named = Some(Ok(bound("named")));
        sockets.take(Findings { plain: None, named, interface }, |_| Ok(())).unwrap();
        assert!(sockets.complete(false) && !sockets.complete(true));
        assert_eq!((sockets.interface(), sockets.names().len()), (Some("eth1"), 3));
    }

    #[test]
    fn a_taken_name_is_given_up_and_a_failure_is_tried_again() {
        let mut sockets = Sockets::default();
        let taken = || Some(Err(ListenError::Taken(Names::plain().memif)));
        let findings = Findings { plain: taken(), named: None, interface: None };
        sockets.take(findings, |_| Ok(())).unwrap();
        assert!(!sockets.errand(mark(), true, true).plain);

        let named = Some(Ok(bound("refused")));
        let findings = Findings { plain: None, named, interface: Some("eth0".to_owned()) };
        let refused = sockets.take(findings, |_| Err(dataplane::DataplaneError::Stopped.into()));
        assert!(refused.is_err());
        assert!(sockets.errand(mark(), true, true).named);
    }
}
