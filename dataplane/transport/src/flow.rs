//! A session and its connection: bytes, ends, and sleeping.

use std::convert::Infallible;

use rustix::event::epoll::EventFlags;
use session::broker::Joined;
use session::wire::SessionInfo;
use session::{Broken, Closed, Local, Room, Stream};
use shm::Mapping;

use crate::connection::Connection;
use crate::tokens::Tokens;

/// Bytes that a flow moves in each direction before others get their turn.
const PER_TURN: usize = 256 << 10;

/// Looks without moving a byte, although the program's memory says each time that there is news, after
/// which it counts as broken: so that no program keeps the thread busy by what it writes there.
const MOST_VAIN_LOOKS: u32 = 10_000;

/// What became of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing moved.
    Idle,
    /// Something moved, and there may be more.
    Moved,
    /// The session is over, in this way.
    Over(Closed),
}

/// Which ends of stream were passed on.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    /// The program's, to the connection.
    sent: bool,
    /// The peer's, to the program.
    given: bool,
}

/// A session and its connection.
#[derive(Debug)]
pub(crate) struct Flow {
    tokens: Tokens,
    memory: Mapping,
    local: Local,
    info: SessionInfo,
    ends: Ends,
    /// The socket was made unwritable to sleep until there is room.
    filled: bool,
    /// The connection had no room for what the program wrote.
    refused: bool,
    vain_looks: u32,
    /// It is on the list of those that are awake.
    pub(crate) awake: bool,
}

impl Flow {
    /// # Errors
    /// What the kernel answers to mapping the memory.
    pub(crate) fn new(joined: Joined) -> rustix::io::Result<Self> {
        let Joined { socket, memory, info } = joined;
        let memory = Mapping::map(std::os::fd::AsFd::as_fd(&memory), info.place.memory_bytes())?;
        let mut flow = Self {
            tokens: Tokens::new(socket),
            memory,
            local: Local::new(),
            info,
            ends: Ends::default(),
            filled: false,
            refused: false,
            vain_looks: 0,
            awake: false,
        };
        if let Ok((stream, _)) = flow.parts() {
            // Should the agent die, the connection is lost.
            stream.set_will_to_reset(true);
        }
        Ok(flow)
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    fn parts(&mut self) -> Result<(Stream<'_>, &mut Tokens), Broken> {
        let Self { tokens, memory, local, info, .. } = self;
        Ok((Stream::new(memory, local, info.side, info.place)?, tokens))
    }

    /// Takes note of what epoll says of the socket.
    pub(crate) fn note(&mut self, flags: EventFlags) {
        self.tokens.note(flags);
        if flags.contains(EventFlags::OUT) {
            // Whoever took the tokens, they do not keep this side asleep any more.
            self.filled = false;
        }
        if flags.contains(EventFlags::IN)
            && let Ok((stream, tokens)) = self.parts()
        {
            tokens.drain(&stream);
        }
    }

    /// It is looked at by itself again: no token is wanted.
    pub(crate) fn wake_up(&mut self) {
        if let Ok((stream, _)) = self.parts() {
            stream.disarm_reader();
        }
    }

    /// Moves what can be moved.
    pub(crate) fn turn(&mut self, connection: &mut impl Connection) -> Turn {
        self.try_turn(connection).unwrap_or(Turn::Over(Closed::Reset))
    }

    fn try_turn(&mut self, connection: &mut impl Connection) -> Result<Turn, Broken> {
        let moved = self.send_on(connection)? + self.hand_up(connection)?;
        if moved > 0 {
            self.vain_looks = 0;
        }
        if connection.failed() {
            return Ok(Turn::Over(Closed::Reset));
        }
        let Ends { sent: sent_end, given: gave_end } = self.ends;
        let (stream, tokens) = self.parts()?;
        // In this order: what came before the end is in the ring when the end is seen.
        let ended = tokens.ended || stream.peer_ended();
        let all_sent = stream.readable()? == 0;
        let send_end = !sent_end && ended && all_sent;
        let give_end = !gave_end && connection.peer_ended() && connection.readable() == 0;
        if give_end {
            stream.set_will_to_reset(false);
            stream.end();
            tokens.end();
        }
        let gone = tokens.hung_up || stream.peer_closed().is_some();
        let told_to_reset =
            stream.peer_wills_reset() || stream.peer_closed() == Some(Closed::Reset);
        // After both ends there is nothing to reset: the program may still read what it has.
        let left_unread =
            !(gave_end || give_end) && (stream.unread_by_peer()? > 0 || connection.readable() > 0);
        self.ends.sent |= send_end;
        self.ends.given |= give_end;
        if gone && (told_to_reset || left_unread) {
            // Instead of an end, which the peer would see first.
            return Ok(Turn::Over(Closed::Reset));
        }
        if send_end {
            connection.end();
        }
        if gone && all_sent {
            return Ok(Turn::Over(Closed::Orderly));
        }
        Ok(if moved > 0 || send_end || give_end { Turn::Moved } else { Turn::Idle })
    }

    /// What the program wrote goes to the connection.
    fn send_on(&mut self, connection: &mut impl Connection) -> Result<usize, Broken> {
        let (stream, tokens) = self.parts()?;
        let mut total = 0;
        let mut wake = false;
        let mut refused = false;
        while total < PER_TURN {
            refused = false;
            let moved = stream.read_with(|memory, offset, len| {
                let sent = connection.send_from(memory, offset, len);
                refused = sent == 0;
                sent
            })?;
            wake |= moved.wake;
            if moved.bytes == 0 {
                break;
            }
            total += moved.bytes;
        }
        if wake {
            tokens.drain(&stream);
        }
        self.refused = refused;
        Ok(total)
    }

    /// What the connection received goes to the program.
    fn hand_up(&mut self, connection: &mut impl Connection) -> Result<usize, Broken> {
        if self.ends.given || connection.readable() == 0 {
            return Ok(0);
        }
        let (stream, tokens) = self.parts()?;
        let mut total = 0;
        let mut wake = false;
        while total < PER_TURN {
            let moved = stream.write_with(PER_TURN, |memory, offset, len| {
                Ok::<_, Infallible>(connection.read_into(memory, offset, len))
            })?;
            let Ok(moved) = moved;
            wake |= moved.wake;
            if moved.bytes == 0 {
                break;
            }
            total += moved.bytes;
        }
        if wake {
            tokens.send(&stream);
        }
        Ok(total)
    }

    /// Prepares for sleeping until the socket or the connection has news; `false` when there is news.
    ///
    /// # Errors
    /// [`Broken`].
    pub(crate) fn try_sleep(&mut self, connection: &impl Connection) -> Result<bool, Broken> {
        let asleep = self.arm(connection)?;
        if !asleep {
            self.vain_looks += 1;
            if self.vain_looks > MOST_VAIN_LOOKS {
                return Err(Broken);
            }
        }
        Ok(asleep)
    }

    fn arm(&mut self, connection: &impl Connection) -> Result<bool, Broken> {
        let (Ends { sent: sent_end, given: gave_end }, filled) = (self.ends, self.filled);
        let refused = self.refused;
        let (stream, tokens) = self.parts()?;
        let seen = stream.seen()?;
        // Bytes for which the connection had no room wait until it tells. Others came after the last turn.
        let waits = if stream.readable()? > 0 { refused } else { stream.arm_reader(seen)? };
        if !sent_end && !waits {
            return Ok(false);
        }
        if gave_end || connection.readable() == 0 {
            return Ok(true);
        }
        if filled && stream.is_filled()? {
            return Ok(stream.writable()? == 0);
        }
        if !stream.arm_writer(Room::Any)? {
            return Ok(false);
        }
        tokens.fill(&stream);
        let asleep = stream.note_filled()? && !tokens.hung_up;
        self.filled = true;
        Ok(asleep)
    }

    /// Tells the program that the agent's side is gone; the socket goes with the flow.
    pub(crate) fn close(mut self, how: Closed) {
        if let Ok((stream, _)) = self.parts() {
            stream.set_will_to_reset(how == Closed::Reset);
            stream.close(how);
            stream.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::Arc;

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use session::layout::{Place, RingSize, Side};
    use session::wire::{Protocol, Transport};

    use super::*;

    /// A connection that has room for so many bytes.
    struct Room(usize);

    impl Connection for Room {
        fn send_from(&mut self, _: &Mapping, _: usize, len: usize) -> usize {
            let sent = len.min(self.0);
            self.0 -= sent;
            sent
        }

        fn read_into(&mut self, _: &Mapping, _: usize, _: usize) -> usize {
            0
        }

        fn readable(&self) -> usize {
            0
        }

        fn peer_ended(&self) -> bool {
            false
        }

        fn failed(&self) -> bool {
            false
        }

        fn end(&mut self) {}
    }

    /// A flow, and what the program has of it.
    fn flow() -> (Flow, Mapping, Place, OwnedFd) {
        let place = Place::new(RingSize::new(4096).unwrap(), 0, 1).unwrap();
        let memory = memfd_create("session", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&memory, place.memory_bytes() as u64).unwrap();
        let mapping = Mapping::map(memory.as_fd(), place.memory_bytes()).unwrap();
        let flags = SocketFlags::CLOEXEC;
        let (socket, near) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let nowhere: SocketAddr = "10.0.0.1:1".parse().unwrap();
        let info = SessionInfo {
            id: 1,
            side: Side::Second,
            protocol: Protocol::Stream,
            transport: Transport::Stack,
            memory: 1,
            place,
            local: nowhere,
            remote: nowhere,
        };
        let joined = Joined { socket, memory: Arc::new(memory), info };
        (Flow::new(joined).unwrap(), mapping, place, near)
    }

    #[test]
    fn bytes_that_come_between_a_turn_and_sleeping_are_not_slept_upon() {
        let (mut flow, mapping, place, _near) = flow();
        let local = Local::new();
        let program = Stream::new(&mapping, &local, Side::First, place).unwrap();
        let mut connection = Room(6);
        assert_eq!(flow.turn(&mut connection), Turn::Idle);
        // The reader is not armed: nobody sends a token for these.
        assert!(!program.write(b"four").unwrap().wake);
        assert_eq!(flow.try_sleep(&connection), Ok(false));
        assert_eq!(flow.turn(&mut connection), Turn::Moved);
        assert_eq!(flow.try_sleep(&connection), Ok(true));
        // Now it is, and the connection has room for two of these.
        assert!(program.write(b"four").unwrap().wake);
        flow.wake_up();
        assert_eq!(flow.turn(&mut connection), Turn::Moved);
        assert_eq!(flow.turn(&mut connection), Turn::Idle);
        assert_eq!(flow.try_sleep(&connection), Ok(true));
        assert_eq!(program.unread_by_peer(), Ok(2));
    }
}
