//! A blocking netlink socket: one request, its answers, and the kernel's verdict.
//!
//! Requests are answered by the kernel within the call that sends them, so nothing here needs an
//! event loop. The socket belongs to the network namespace of the thread that opened it, whichever
//! thread uses it later. See rtnetlink(7) and `linux/netlink.h`.

use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// The kernel fills at most 32 KiB for each part of a dump.
const RECEIVE_BYTES: usize = 64 << 10;

/// How often a dump is started over because links changed meanwhile.
const DUMP_ATTEMPTS: u32 = 8;

/// A netlink socket for messages of one protocol.
#[derive(Debug)]
pub(super) struct Netlink<M> {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
    messages: PhantomData<fn() -> M>,
}

/// A rtnetlink socket.
pub(super) type Route = Netlink<RouteNetlinkMessage>;

/// The answers to one request, as they come in.
struct Conversation<M> {
    answers: Vec<M>,
    /// The kernel has said all.
    finished: bool,
    /// The table changed under the dump.
    interrupted: bool,
}

impl Route {
    /// A socket in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        // NETLINK_ROUTE is protocol 0, the default.
        Self::open_for(None)
    }
}

impl<M: NetlinkSerializable + NetlinkDeserializable + Clone> Netlink<M> {
    /// A socket for a protocol, in the network namespace of the calling thread.
    pub(super) fn open_for(protocol: Option<Protocol>) -> io::Result<Self> {
        let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
        let socket = socket_with(family, SocketType::RAW, flags, protocol)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; RECEIVE_BYTES], messages: PhantomData })
    }

    /// Sends one change and waits for the kernel to accept it.
    pub(super) fn change(&mut self, message: M, flags: u16) -> io::Result<()> {
        self.talk(message, flags | NLM_F_ACK).map(|_| ())
    }

    /// Sends one question and returns the answers.
    pub(super) fn ask(&mut self, message: M) -> io::Result<Vec<M>> {
        self.talk(message, NLM_F_ACK).map(|conversation| conversation.answers)
    }

    /// Reads a whole table, consistently.
    pub(super) fn dump(&mut self, message: &M) -> io::Result<Vec<M>> {
        for _ in 0..DUMP_ATTEMPTS {
            let conversation = self.talk(message.clone(), NLM_F_DUMP)?;
            if !conversation.interrupted {
                return Ok(conversation.answers);
            }
        }
        Err(io::Error::other("the kernel's table changes faster than it can be listed"))
    }

    fn talk(&mut self, message: M, flags: u16) -> io::Result<Conversation<M>> {
        self.send(message, flags | NLM_F_REQUEST)?;
        let mut conversation = Conversation::default();
        while !conversation.finished {
            let (kept, length) =
                retry_on_intr(|| recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC))?;
            if length > kept {
                return Err(Errno::MSGSIZE.into());
            }
            conversation.read(&self.buffer[..kept], self.sequence)?;
        }
        Ok(conversation)
    }

    fn send(&mut self, message: M, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        retry_on_intr(|| send(&self.socket, &bytes, SendFlags::empty()))?;
        Ok(())
    }
}

// Derived, it would ask the same of the messages.
impl<M> Default for Conversation<M> {
    fn default() -> Self {
        Self { answers: Vec::new(), finished: false, interrupted: false }
    }
}

impl<M: NetlinkDeserializable> Conversation<M> {
    /// Reads one datagram, leaving out what answers an earlier request than `sequence`.
    fn read(&mut self, mut bytes: &[u8], sequence: u32) -> io::Result<()> {
        while !bytes.is_empty() && !self.finished {
            let frame = NetlinkBuffer::new_checked(bytes).map_err(io::Error::other)?;
            let length = usize::try_from(frame.length()).map_err(io::Error::other)?;
            let (ours, interrupted) =
                (frame.sequence_number() == sequence, frame.flags() & NLM_F_DUMP_INTR != 0);
            if ours {
                self.interrupted |= interrupted;
                self.take(&bytes[..length])?;
            }
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    fn take(&mut self, message: &[u8]) -> io::Result<()> {
        match NetlinkMessage::deserialize(message).map(|message| message.payload) {
            Ok(NetlinkPayload::InnerMessage(inner)) => self.answers.push(inner),
            Ok(NetlinkPayload::Error(error)) if error.code.is_some() => return Err(error.to_io()),
            Ok(NetlinkPayload::Done(done)) if done.code != 0 => {
                return Err(io::Error::from_raw_os_error(done.code.saturating_abs()));
            }
            Ok(NetlinkPayload::Error(_) | NetlinkPayload::Done(_)) => self.finished = true,
            Ok(_) => {}
            // Such as a link of a sort that this program does not make.
            Err(error) => tracing::debug!(%error, "a line was left out of a listing"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DoneMessage;
    use netlink_packet_route::link::LinkMessage;
    use proptest::prelude::*;

    use super::*;

    fn packet(sequence: u32, flags: u16, payload: NetlinkPayload<RouteNetlinkMessage>) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        (header.sequence_number, header.flags) = (sequence, flags);
        let mut packet = NetlinkMessage::new(header, payload);
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        bytes
    }

    fn link(sequence: u32, flags: u16) -> Vec<u8> {
        let message = RouteNetlinkMessage::NewLink(LinkMessage::default());
        packet(sequence, flags, NetlinkPayload::from(message))
    }

    #[test]
    fn answers_to_another_request_are_left_out() {
        let mut conversation = Conversation::<RouteNetlinkMessage>::default();
        conversation.read(&[link(6, 0), link(7, 0)].concat(), 7).unwrap();
        assert_eq!(conversation.answers.len(), 1);
        assert!(!conversation.finished);
    }

    #[test]
    fn an_interrupted_dump_ends_and_is_marked() {
        let done = packet(7, NLM_F_DUMP_INTR, NetlinkPayload::Done(DoneMessage::default()));
        let mut conversation = Conversation::<RouteNetlinkMessage>::default();
        conversation.read(&[link(7, 0), done].concat(), 7).unwrap();
        assert!(conversation.finished && conversation.interrupted);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = Conversation::<RouteNetlinkMessage>::default().read(&bytes, 1);
        }

        #[test]
        fn a_torn_datagram_is_read_without_panic(cut in 0usize..64) {
            let bytes = link(1, 0);
            let _ = Conversation::<RouteNetlinkMessage>::default().read(&bytes[..cut.min(bytes.len())], 1);
        }
    }
}
