//! The server's half: checks everything that a client announces before a byte of it is mapped.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use super::{HandshakeError, PeerNames, PlacementFault, Stage, Timeouts, refuse_descriptor};
use crate::layout::ring_bytes;
use crate::parameters::{InterfaceId, Limits, Mode, RegionSpec, RingSize, RingSpec, SharedSpec};
use crate::text::{Name, Secret};
use crate::wire::{AddRegion, AddRing, Direction, Hello, Init, Message, MessageKind, Version};

/// What rings are aligned to: a cache line.
const RING_ALIGNMENT: u32 = 64;

/// What HELLO offers to everyone, before the client said which interface it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The server application.
    pub name: Name,
    /// Regions per link, at least 1.
    pub regions: u16,
    /// Rings in each direction, at least 1.
    pub rings: u16,
}

/// What an interface demands of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What frames start with.
    pub mode: Mode,
    /// The secret; `None` accepts any.
    pub secret: Option<Secret>,
    /// How much memory and how many rings.
    pub limits: Limits,
}

/// What the shell knows about an interface id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// No interface has it.
    Unknown,
    /// It waits for a client.
    Free(Terms),
    /// It has a client.
    Taken(Terms),
}

/// All that the client announced, checked against the interface's limits; answer with
/// [`ServerHandshake::accept`] or [`ServerHandshake::refuse`].
#[derive(Debug)]
pub struct Announcement<F> {
    /// The interface that it wants.
    pub id: InterfaceId,
    /// What it shares.
    pub shared: SharedSpec<F>,
    /// Who it says it is.
    pub peer: PeerNames,
}

/// A handshake as the server sees it.
#[derive(Debug)]
pub struct ServerHandshake<F> {
    stage: Stage,
    first_deadline: Instant,
    deadline: Instant,
    admitted: Option<Admitted>,
    shared: SharedSpec<F>,
    outbox: VecDeque<Message>,
    event: Option<Announcement<F>>,
}

/// What is known once INIT was accepted.
#[derive(Debug, Clone, Copy)]
struct Admitted {
    id: InterfaceId,
    limits: Limits,
    application: Name,
}

impl<F> ServerHandshake<F> {
    /// Starts with HELLO, at the moment of the accept.
    pub fn new(offer: Offer, timeouts: Timeouts, now: Instant) -> Self {
        let hello = Message::Hello(Hello {
            name: offer.name,
            min_version: Version::CURRENT,
            max_version: Version::CURRENT,
            max_region: offer.regions.saturating_sub(1),
            max_server_to_client_ring: offer.rings.saturating_sub(1),
            max_client_to_server_ring: offer.rings.saturating_sub(1),
            max_log2_ring_size: RingSize::MAX.log2(),
        });
        Self {
            stage: Stage::Init,
            first_deadline: now + timeouts.first.min(timeouts.whole),
            deadline: now + timeouts.whole,
            admitted: None,
            shared: SharedSpec::default(),
            outbox: VecDeque::from([hello]),
            event: None,
        }
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The interface that the client was admitted to, once INIT was accepted.
    pub fn id(&self) -> Option<InterfaceId> {
        self.admitted.map(|admitted| admitted.id)
    }

    /// Takes a message and the descriptor that came with it. `lookup` is asked once, at INIT.
    ///
    /// # Errors
    ///
    /// Anything out of order, out of bounds or against the interface's terms; the handshake is over.
    pub fn handle(
        &mut self,
        message: Message,
        descriptor: Option<F>,
        lookup: impl FnOnce(InterfaceId) -> Lookup,
    ) -> Result<(), HandshakeError> {
        let outcome = self.step(message, descriptor, lookup);
        outcome.map_err(|error| self.fail(error))
    }

    /// Brings the link up: CONNECTED will be sent. Call when the announced memory was mapped.
    pub fn accept(&mut self, interface: Name) -> Result<(), HandshakeError> {
        if self.stage != Stage::Connect || self.event.is_some() {
            return Err(self.fail(HandshakeError::OutOfTurn(self.stage)));
        }
        self.stage = Stage::Connected;
        self.outbox.push_back(Message::Connected { interface });
        Ok(())
    }

    /// Ends it for a reason of the shell's; returns the same reason.
    pub fn refuse(&mut self, error: HandshakeError) -> HandshakeError {
        self.fail(error)
    }

    /// The socket ended.
    pub fn handle_eof(&mut self) -> HandshakeError {
        self.fail(HandshakeError::Eof(self.stage))
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Init => Some(self.first_deadline),
            Stage::Regions | Stage::Rings => Some(self.deadline),
            _ => None,
        }
    }

    /// Ends it if a deadline has passed at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), HandshakeError> {
        match self.poll_timeout() {
            Some(deadline) if deadline <= now => {
                Err(self.fail(HandshakeError::Timeout(self.stage)))
            }
            _ => Ok(()),
        }
    }

    /// The next message to send. Servers send no descriptors.
    pub fn poll_transmit(&mut self) -> Option<Message> {
        self.outbox.pop_front()
    }

    /// The announcement, once CONNECT came.
    pub fn poll_event(&mut self) -> Option<Announcement<F>> {
        self.event.take()
    }

    fn step(
        &mut self,
        message: Message,
        descriptor: Option<F>,
        lookup: impl FnOnce(InterfaceId) -> Lookup,
    ) -> Result<(), HandshakeError> {
        if let Message::Disconnect(peer) = message {
            return Err(HandshakeError::Refused { code: peer.code, reason: peer.reason });
        }
        match (self.stage, message) {
            (Stage::Init, Message::Init(init)) => {
                refuse_descriptor(&message, descriptor)?;
                self.init(&init, lookup)
            }
            (Stage::Regions, Message::AddRegion(region)) => self.add_region(region, descriptor),
            (Stage::Regions | Stage::Rings, Message::AddRing(ring)) => {
                self.add_ring(&ring, descriptor)
            }
            (Stage::Regions | Stage::Rings, Message::Connect { interface }) => {
                refuse_descriptor(&message, descriptor)?;
                self.connect(interface)
            }
            (stage, message) => Err(HandshakeError::Unexpected { kind: message.kind(), stage }),
        }
    }

    /// The secret is checked before anything else about the interface is told.
    fn init(
        &mut self,
        init: &Init,
        lookup: impl FnOnce(InterfaceId) -> Lookup,
    ) -> Result<(), HandshakeError> {
        if init.version != Version::CURRENT {
            return Err(HandshakeError::Version { oldest: init.version, newest: init.version });
        }
        let found = lookup(init.id);
        let (Lookup::Free(terms) | Lookup::Taken(terms)) = found else {
            return Err(HandshakeError::UnknownInterface(init.id));
        };
        if terms.secret.is_some_and(|secret| !secret.matches(&init.secret)) {
            return Err(HandshakeError::Secret);
        }
        if terms.mode != init.mode {
            return Err(HandshakeError::Mode { ours: terms.mode, theirs: init.mode });
        }
        if matches!(found, Lookup::Taken(_)) {
            return Err(HandshakeError::Taken(init.id));
        }
        self.admitted =
            Some(Admitted { id: init.id, limits: terms.limits, application: init.name });
        self.advance(Stage::Regions);
        Ok(())
    }

    fn add_region(
        &mut self,
        region: AddRegion,
        descriptor: Option<F>,
    ) -> Result<(), HandshakeError> {
        let fd = descriptor.ok_or(HandshakeError::MissingDescriptor(MessageKind::AddRegion))?;
        let limits = self.limits();
        let expected = self.shared.regions.len();
        if usize::from(region.index) != expected {
            return Err(HandshakeError::RegionOrder { expected, got: region.index });
        }
        if expected >= usize::from(limits.regions) {
            return Err(HandshakeError::TooManyRegions(limits.regions));
        }
        if region.size == 0 || region.size > limits.region_bytes {
            return Err(HandshakeError::RegionSize {
                index: region.index,
                size: region.size,
                limit: limits.region_bytes,
            });
        }
        let held: u64 = self.shared.regions.iter().map(|region| region.size).sum();
        let total = held.saturating_add(region.size);
        if total > limits.total_bytes {
            return Err(HandshakeError::TotalSize { total, limit: limits.total_bytes });
        }
        self.shared.regions.push(RegionSpec { size: region.size, fd });
        self.advance(Stage::Regions);
        Ok(())
    }

    fn add_ring(&mut self, ring: &AddRing, descriptor: Option<F>) -> Result<(), HandshakeError> {
        let interrupt =
            descriptor.ok_or(HandshakeError::MissingDescriptor(MessageKind::AddRing))?;
        let limit = self.limits().rings;
        let expected = self.rings(ring.direction).len();
        if usize::from(ring.index) != expected {
            let direction = ring.direction;
            return Err(HandshakeError::RingOrder { direction, expected, got: ring.index });
        }
        if expected >= usize::from(limit) {
            return Err(HandshakeError::TooManyRings { direction: ring.direction, limit });
        }
        self.place(ring)?;
        self.rings(ring.direction).push(RingSpec {
            region: ring.region,
            offset: ring.offset,
            size: ring.size,
            private_header_size: ring.private_header_size,
            interrupt,
        });
        self.advance(Stage::Rings);
        Ok(())
    }

    /// A ring must lie in a region, on a line, whole, and apart from all others.
    fn place(&self, ring: &AddRing) -> Result<(), HandshakeError> {
        let AddRing { direction, index, region, offset, .. } = *ring;
        let Some(home) = self.shared.regions.get(usize::from(region)) else {
            return Err(HandshakeError::RingRegion { direction, index, region });
        };
        let misplaced = |fault| HandshakeError::RingPlacement { direction, index, offset, fault };
        if !offset.is_multiple_of(RING_ALIGNMENT) {
            return Err(misplaced(PlacementFault::Misaligned));
        }
        let span = span(offset, ring.size);
        if span.end > home.size {
            return Err(misplaced(PlacementFault::OutOfRegion));
        }
        let mut others = self.shared.client_to_server.iter().chain(&self.shared.server_to_client);
        if others.any(|other| {
            other.region == region && overlap(&span, &self::span(other.offset, other.size))
        }) {
            return Err(misplaced(PlacementFault::Overlap));
        }
        Ok(())
    }

    fn connect(&mut self, interface: Name) -> Result<(), HandshakeError> {
        for direction in [Direction::ClientToServer, Direction::ServerToClient] {
            if self.rings(direction).is_empty() {
                return Err(HandshakeError::NoRing(direction));
            }
        }
        let admitted = self.admitted.expect("CONNECT is accepted only after INIT was");
        self.event = Some(Announcement {
            id: admitted.id,
            shared: std::mem::take(&mut self.shared),
            peer: PeerNames { application: admitted.application, interface },
        });
        self.stage = Stage::Connect;
        Ok(())
    }

    fn rings(&mut self, direction: Direction) -> &mut Vec<RingSpec<F>> {
        match direction {
            Direction::ClientToServer => &mut self.shared.client_to_server,
            Direction::ServerToClient => &mut self.shared.server_to_client,
        }
    }

    fn limits(&self) -> Limits {
        self.admitted.expect("regions and rings are accepted only after INIT was").limits
    }

    fn advance(&mut self, stage: Stage) {
        self.stage = stage;
        self.outbox.push_back(Message::Ack);
    }

    fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        if self.stage != Stage::Closed {
            self.stage = Stage::Closed;
            self.shared = SharedSpec::default();
            self.event = None;
            self.outbox.clear();
            if error.is_news_to_peer() {
                self.outbox.push_back(error.to_disconnect());
            }
        }
        error
    }
}

/// The bytes of a ring; in 64 bits, so that nothing overflows.
fn span(offset: u32, size: RingSize) -> Range<u64> {
    let start = u64::from(offset);
    start..start + ring_bytes(size)
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
