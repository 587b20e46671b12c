//! The session of datagrams with one peer.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Instant;

use dataplane::stack_port::StackPort;
use rustix::event::epoll::EventFlags;
use session::broker::Joined;
use session::datagram::{Mtu, Slot, Waiting};
use session::wire::SessionInfo;
use session::{Broken, Closed, Local, Stream};
use shm::Mapping;
use stack::{SendError, Stack, UdpId};

use crate::tokens::Tokens;

/// Datagrams that a flow sends before others get their turn.
const PER_TURN: usize = 64;

/// Looks that find nothing to send although the program's memory says each time that there is something,
/// after which it counts as broken.
const MOST_VAIN_LOOKS: u32 = 10_000;

/// What became of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There was nothing to send.
    Idle,
    /// Something was sent, and there may be more.
    Moved,
    /// What waits has to wait until earlier frames are gone.
    Blocked,
    /// The program is gone, or breaks the rules.
    Over,
}

/// A session, and where its datagrams go.
#[derive(Debug)]
pub(super) struct Flow {
    tokens: Tokens,
    memory: Mapping,
    local: Local,
    info: SessionInfo,
    /// The stack's socket that it speaks through.
    pub(super) socket: UdpId,
    /// When it was used last, in turns of its owner.
    pub(super) used: u64,
    /// It was made because the peer sent first.
    pub(super) by_peer: bool,
    /// It is on the list of those that are awake.
    pub(super) awake: bool,
    blocked: bool,
    vain_looks: u32,
    /// What the program was told of the way.
    told: Option<Mtu>,
}

impl Flow {
    /// # Errors
    /// What the kernel answers to mapping the memory.
    pub(super) fn new(joined: Joined, socket: UdpId, by_peer: bool) -> rustix::io::Result<Self> {
        let Joined { socket: tokens, memory, info } = joined;
        let memory = Mapping::map(memory.as_fd(), info.place.memory_bytes())?;
        Ok(Self {
            tokens: Tokens::new(tokens),
            memory,
            local: Local::new(),
            info,
            socket,
            used: 0,
            by_peer,
            awake: false,
            blocked: false,
            vain_looks: 0,
            told: None,
        })
    }

    /// The peer on the network: in the session the agent has its place.
    pub(super) fn peer(&self) -> SocketAddr {
        self.info.local
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    fn parts(&mut self) -> Result<(Stream<'_>, &mut Tokens), Broken> {
        let Self { tokens, memory, local, info, .. } = self;
        Ok((Stream::new(memory, local, info.side, info.place)?, tokens))
    }

    /// Takes note of what epoll says of the socket.
    pub(super) fn note(&mut self, flags: EventFlags) {
        self.tokens.note(flags);
        if flags.contains(EventFlags::IN)
            && let Ok((stream, tokens)) = self.parts()
        {
            tokens.drain(&stream);
        }
    }

    /// It is looked at by itself again: no token is wanted.
    pub(super) fn wake_up(&mut self) {
        if let Ok((stream, _)) = self.parts() {
            stream.disarm_reader();
        }
    }

    /// Tells the program how long packets to the peer may be, when that is news.
    pub(super) fn tell_mtu(&mut self, stack: &mut Stack, now: Instant) {
        let mtu = Mtu { path: stack.path_mtu(now, self.peer().ip()), own: stack.mtu() };
        if self.told != Some(mtu)
            && let Ok((stream, _)) = self.parts()
        {
            stream.tell_mtu(mtu);
            self.told = Some(mtu);
        }
    }

    /// Sends what the program wrote. Datagrams that cannot be sent at all are lost.
    pub(super) fn turn(&mut self, stack: &mut Stack, link: &mut StackPort, now: Instant) -> Turn {
        // At the beginning; changes are told when they come.
        self.tell_mtu(stack, now);
        self.try_turn(stack, link, now).unwrap_or(Turn::Over)
    }

    fn try_turn(
        &mut self,
        stack: &mut Stack,
        link: &mut StackPort,
        now: Instant,
    ) -> Result<Turn, Broken> {
        let (socket, remote) = (self.socket, self.peer());
        let (stream, tokens) = self.parts()?;
        // In this order: what was sent before the end is in the ring when the end is seen.
        let gone = tokens.ended || tokens.hung_up;
        let (mut sent, mut blocked) = (0, false);
        while sent < PER_TURN {
            let Some(first) = Waiting::first(&stream)? else { break };
            let mut copied = Ok(0);
            let fill = |room: &mut [u8]| {
                copied = first.read(0, room);
                // The buffer had other frames before.
                room[copied.unwrap_or(0)..].fill(0);
            };
            let outcome = stack.udp_send(now, socket, remote, first.length(), link, fill);
            if outcome == Err(SendError::Full) {
                blocked = true;
                break;
            }
            // What has no way there is lost, as on any network.
            copied?;
            first.remove()?;
            sent += 1;
        }
        self.blocked = blocked;
        if sent > 0 {
            self.vain_looks = 0;
            return Ok(Turn::Moved);
        }
        Ok(match (gone, blocked) {
            (true, _) => Turn::Over,
            (false, true) => Turn::Blocked,
            (false, false) => Turn::Idle,
        })
    }

    /// Gives a datagram to the program; without room it is lost, and counted. `false` when the session is
    /// over.
    pub(super) fn deliver(&mut self, data: &[u8]) -> bool {
        let Ok((stream, tokens)) = self.parts() else { return false };
        let write = || {
            let Some(mut slot) = Slot::reserve(&stream, data.len())? else { return Ok(None) };
            slot.put(data)?;
            slot.publish().map(Some)
        };
        match write() {
            Ok(Some(true)) => tokens.send(&stream),
            Ok(Some(false)) => {}
            Ok(None) => stream.count_dropped(),
            Err(Broken) => return false,
        }
        !self.tokens.hung_up
    }

    /// Prepares for sleeping until the socket has news, or earlier frames are gone; `false` when there
    /// is something to send.
    ///
    /// # Errors
    /// [`Broken`].
    pub(super) fn try_sleep(&mut self) -> Result<bool, Broken> {
        if self.blocked {
            return Ok(true);
        }
        let (stream, _) = self.parts()?;
        let seen = stream.seen()?;
        if stream.readable()? == 0 && stream.arm_reader(seen)? {
            return Ok(true);
        }
        self.vain_looks += 1;
        if self.vain_looks > MOST_VAIN_LOOKS { Err(Broken) } else { Ok(false) }
    }

    /// Whether it waits for earlier frames to be gone.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Tells the program that the agent's side is gone; [`Closed::Reset`]: that nobody has the peer's
    /// port. What it was sent can still be read.
    pub(super) fn close(mut self, how: Closed) {
        if let Ok((stream, _)) = self.parts() {
            stream.close(how);
            stream.leave();
        }
    }
}
