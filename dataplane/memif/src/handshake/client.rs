//! The client's half: fits its wishes to the server's HELLO and announces its memory, one message
//! for each ACK.

use std::collections::VecDeque;
use std::time::Instant;

use super::{HandshakeError, Outgoing, PeerNames, Stage, Timeouts, refuse_descriptor};
use crate::memory::ClientLayout;
use crate::parameters::{InterfaceId, Mode, RingSize, RingSpec, SharedSpec};
use crate::text::{Name, Secret};
use crate::wire::{AddRegion, AddRing, Direction, Hello, Init, Message, Version};

/// Who the client is and what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientHello {
    /// The interface behind the server's socket.
    pub id: InterfaceId,
    /// What frames start with.
    pub mode: Mode,
    /// The interface's secret; [`Secret::NONE`] if it has none.
    pub secret: Secret,
    /// This application.
    pub application: Name,
    /// This end's interface.
    pub interface: Name,
    /// Rings and buffers, before they are fitted to what the server takes.
    pub layout: ClientLayout,
}

/// What the shell has to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAction {
    /// Allocate memory of this layout and hand it to [`ClientHandshake::share`].
    Prepare(ClientLayout),
    /// The link is up: queues may be used from now on.
    Connected(PeerNames),
}

/// A handshake as the client sees it.
#[derive(Debug)]
pub struct ClientHandshake<F> {
    stage: Stage,
    hello: ClientHello,
    server: Name,
    server_regions: usize,
    first_deadline: Instant,
    deadline: Instant,
    /// What to send for each ACK to come.
    script: VecDeque<Outgoing<F>>,
    outbox: Option<Outgoing<F>>,
    event: Option<ClientAction>,
}

impl<F> ClientHandshake<F> {
    /// Starts at the moment of the connect, waiting for HELLO.
    pub fn new(hello: ClientHello, timeouts: Timeouts, now: Instant) -> Self {
        Self {
            stage: Stage::Hello,
            hello,
            server: Name::EMPTY,
            server_regions: 0,
            first_deadline: now + timeouts.first.min(timeouts.whole),
            deadline: now + timeouts.whole,
            script: VecDeque::new(),
            outbox: None,
            event: None,
        }
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Takes a message and the descriptor that came with it (servers send none).
    ///
    /// # Errors
    ///
    /// Anything out of order, or the server's refusal; the handshake is over.
    pub fn handle(
        &mut self,
        message: Message,
        descriptor: Option<F>,
    ) -> Result<(), HandshakeError> {
        let outcome = self.step(message, descriptor);
        outcome.map_err(|error| self.fail(error))
    }

    /// Answers [`ClientAction::Prepare`]: INIT will be sent, then what is in `shared`.
    pub fn share(&mut self, shared: SharedSpec<F>) -> Result<(), HandshakeError> {
        if self.stage != Stage::Prepare || self.event.is_some() {
            return Err(self.fail(HandshakeError::OutOfTurn(self.stage)));
        }
        if shared.regions.len() > self.server_regions {
            let (limit, regions) = (self.server_regions, shared.regions.len());
            return Err(self.fail(HandshakeError::ServerRegions { limit, regions }));
        }
        self.script = script(&self.hello, shared);
        self.stage = Stage::Init;
        self.outbox = self.script.pop_front();
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
            Stage::Hello => Some(self.first_deadline),
            Stage::Connected | Stage::Closed => None,
            _ => Some(self.deadline),
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

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Outgoing<F>> {
        self.outbox.take()
    }

    /// What to act on next.
    pub fn poll_event(&mut self) -> Option<ClientAction> {
        self.event.take()
    }

    fn step(&mut self, message: Message, descriptor: Option<F>) -> Result<(), HandshakeError> {
        if let Message::Disconnect(peer) = message {
            return Err(HandshakeError::Refused { code: peer.code, reason: peer.reason });
        }
        refuse_descriptor(&message, descriptor)?;
        match (self.stage, message) {
            (Stage::Hello, Message::Hello(hello)) => self.greet(&hello),
            (Stage::Init | Stage::Regions | Stage::Rings, Message::Ack)
                if self.outbox.is_none() =>
            {
                self.outbox = self.script.pop_front();
                self.stage = match self.outbox.as_ref().map(|next| next.message) {
                    Some(Message::AddRegion(_)) => Stage::Regions,
                    Some(Message::AddRing(_)) => Stage::Rings,
                    _ => Stage::Connect,
                };
                Ok(())
            }
            (Stage::Connect, Message::Connected { interface }) if self.outbox.is_none() => {
                let peer = PeerNames { application: self.server, interface };
                self.stage = Stage::Connected;
                self.event = Some(ClientAction::Connected(peer));
                Ok(())
            }
            (stage, message) => Err(HandshakeError::Unexpected { kind: message.kind(), stage }),
        }
    }

    fn greet(&mut self, server: &Hello) -> Result<(), HandshakeError> {
        let (oldest, newest) = (server.min_version, server.max_version);
        if !(oldest..=newest).contains(&Version::CURRENT) {
            return Err(HandshakeError::Version { oldest, newest });
        }
        self.server = server.name;
        self.server_regions = count(server.max_region).into();
        let layout = fit(self.hello.layout, server)?;
        self.stage = Stage::Prepare;
        self.event = Some(ClientAction::Prepare(layout));
        Ok(())
    }

    fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        if self.stage != Stage::Closed {
            self.stage = Stage::Closed;
            self.script.clear();
            self.event = None;
            self.outbox = error
                .is_news_to_peer()
                .then(|| Outgoing { message: error.to_disconnect(), descriptor: None });
        }
        error
    }
}

/// HELLO's fields are highest indices.
fn count(highest_index: u16) -> u16 {
    highest_index.saturating_add(1)
}

fn fit(wanted: ClientLayout, server: &Hello) -> Result<ClientLayout, HandshakeError> {
    let largest = RingSize::from_log2(server.max_log2_ring_size.min(RingSize::MAX.log2()))
        .ok_or(HandshakeError::ServerRingSize(server.max_log2_ring_size))?;
    Ok(ClientLayout {
        client_to_server: wanted.client_to_server.min(count(server.max_client_to_server_ring)),
        server_to_client: wanted.server_to_client.min(count(server.max_server_to_client_ring)),
        ring_size: wanted.ring_size.min(largest),
        buffer_size: wanted.buffer_size,
    })
}

/// INIT, regions, rings to the server, rings from the server, CONNECT.
fn script<F>(hello: &ClientHello, shared: SharedSpec<F>) -> VecDeque<Outgoing<F>> {
    let init = Message::Init(Init {
        version: Version::CURRENT,
        id: hello.id,
        mode: hello.mode,
        secret: hello.secret,
        name: hello.application,
    });
    let mut script = VecDeque::from([Outgoing { message: init, descriptor: None }]);
    script.extend((0..).zip(shared.regions).map(|(index, region)| Outgoing {
        message: Message::AddRegion(AddRegion { index, size: region.size }),
        descriptor: Some(region.fd),
    }));
    script.extend(rings(Direction::ClientToServer, shared.client_to_server));
    script.extend(rings(Direction::ServerToClient, shared.server_to_client));
    let connect = Message::Connect { interface: hello.interface };
    script.push_back(Outgoing { message: connect, descriptor: None });
    script
}

fn rings<F>(direction: Direction, rings: Vec<RingSpec<F>>) -> impl Iterator<Item = Outgoing<F>> {
    (0..).zip(rings).map(move |(index, ring)| Outgoing {
        message: Message::AddRing(AddRing {
            direction,
            index,
            region: ring.region,
            offset: ring.offset,
            size: ring.size,
            private_header_size: ring.private_header_size,
        }),
        descriptor: Some(ring.interrupt),
    })
}
