//! Frames that wait to be sent, each behind its VXLAN header.
//!
//! Datagrams of one length to one peer and from one source port are put behind each other as one message, which
//! the kernel cuts (UDP generic segmentation offload): a segment of 64 KiB of a TCP stream crosses into the
//! kernel at once, as it would on a TAP. Pure: who sends the messages looks at them and clears the box.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::Vni;
use super::header;
use crate::bridge::PortSlot;

/// Source ports of one local address: flows are spread over them (RFC 7348, section 5).
pub(super) const SOURCE_PORTS: usize = 16;
/// Messages that one box holds.
const MESSAGES: usize = 64;
/// Datagrams of one message (`UDP_MAX_SEGMENTS` of Linux before 6.9).
const DATAGRAMS: usize = 64;
/// Bytes of one message: what UDP over IPv4 carries.
const MESSAGE_BYTES: usize = 65_507;
/// Keeps the copies into the box aligned.
const ALIGNMENT: usize = 16;

/// One or more datagrams to one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The port of the peer.
    pub(crate) to: PortSlot,
    /// Which of [`SOURCE_PORTS`].
    pub(super) source: usize,
    /// Datagrams.
    pub(crate) count: usize,
    /// Bytes of each but the last, which may have fewer.
    pub(super) segment: usize,
    place: Range<usize>,
}

impl Message {
    /// Bytes of the frames, without their VXLAN headers.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.place.len() - self.count * header::LEN
    }

    /// Whether another datagram of `length` bytes can be put behind the last.
    fn takes(&self, to: PortSlot, source: usize, length: usize) -> bool {
        self.to == to
            && self.source == source
            && length <= self.segment
            && self.place.len() == self.count * self.segment
            && self.count < DATAGRAMS
            && self.place.len() + length <= MESSAGE_BYTES
    }
}

/// The frames of one local address.
#[derive(Debug)]
pub(crate) struct Outbox {
    arena: Box<[u8]>,
    messages: Vec<Message>,
    joins: bool,
}

impl Outbox {
    /// Bytes that it holds: several segments of 64 KiB.
    const CAPACITY: usize = 8 << 16;

    pub(crate) fn new() -> Self {
        Self {
            arena: vec![0; Self::CAPACITY].into_boxed_slice(),
            messages: Vec::with_capacity(MESSAGES),
            joins: true,
        }
    }

    /// From now on each datagram is a message of its own.
    pub(super) fn stop_joining(&mut self) {
        self.joins = false;
    }

    /// Adds a frame of at most `length` bytes that `write` puts into the room it is given; it says how many they
    /// are, or fails, and then nothing was added. `flow` chooses the source port.
    ///
    /// # Errors
    /// [`Refused`].
    #[inline]
    pub(crate) fn push<E>(
        &mut self,
        to: PortSlot,
        vni: Vni,
        flow: u32,
        length: usize,
        write: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), Refused<E>> {
        let source = flow as usize % SOURCE_PORTS;
        let length = header::LEN + length;
        if length > MESSAGE_BYTES {
            return Err(Refused::TooLong);
        }
        let end = self.messages.last().map_or(0, |last| last.place.end);
        let joined =
            self.joins && self.messages.last().is_some_and(|it| it.takes(to, source, length));
        let start = if joined { end } else { end.next_multiple_of(ALIGNMENT) };
        if !joined && self.messages.len() == MESSAGES {
            return Err(Refused::Full);
        }
        let room = self.arena.get_mut(start..start + length).ok_or(Refused::Full)?;
        let (head, frame) = room.split_at_mut(header::LEN);
        head.copy_from_slice(&header::encode(vni));
        write(frame).map_err(Refused::Frame)?;
        if joined && let Some(last) = self.messages.last_mut() {
            last.count += 1;
            last.place.end += length;
        } else {
            let place = start..start + length;
            self.messages.push(Message { to, source, count: 1, segment: length, place });
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What waits.
    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The datagrams of a message, behind each other.
    pub(super) fn bytes(&self, message: &Message) -> &[u8] {
        &self.arena[message.place.clone()]
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
    }
}

/// Why a frame was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused<E> {
    /// The box must be sent first.
    Full,
    /// Longer than a datagram.
    TooLong,
    /// It could not be written.
    Frame(E),
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn vni(number: u32) -> Vni {
        Vni::new(number).unwrap()
    }

    fn push(
        outbox: &mut Outbox,
        to: u16,
        flow: u32,
        frame: &[u8],
    ) -> Result<(), Refused<Infallible>> {
        outbox.push(PortSlot(to), vni(u32::from(to) + 1), flow, frame.len(), |room| {
            room.copy_from_slice(frame);
            Ok(())
        })
    }

    #[test]
    fn frames_of_one_length_are_one_message_until_a_shorter_one() {
        let mut outbox = Outbox::new();
        for length in [100, 100, 60, 60, 200] {
            push(&mut outbox, 1, 5, &vec![7; length]).unwrap();
        }
        let shapes: Vec<_> =
            outbox.messages().iter().map(|it| (it.count, it.segment, it.frame_bytes())).collect();
        assert_eq!(shapes, [(3, 108, 260), (1, 68, 60), (1, 208, 200)]);
    }

    #[test]
    fn peers_and_source_ports_are_kept_apart() {
        let mut outbox = Outbox::new();
        for (to, flow) in [(1, 0), (2, 0), (2, 1), (2, 17)] {
            push(&mut outbox, to, flow, &[0; 64]).unwrap();
        }
        let places: Vec<_> =
            outbox.messages().iter().map(|it| (it.to.0, it.source, it.count)).collect();
        assert_eq!(places, [(1, 0, 1), (2, 0, 1), (2, 1, 2)]);
        outbox.clear();
        outbox.stop_joining();
        push(&mut outbox, 1, 0, &[0; 64]).unwrap();
        push(&mut outbox, 1, 0, &[0; 64]).unwrap();
        assert_eq!(outbox.messages().len(), 2);
    }

    #[test]
    fn a_frame_that_could_not_be_written_is_not_there() {
        let mut outbox = Outbox::new();
        push(&mut outbox, 1, 0, &[1; 64]).unwrap();
        assert_eq!(outbox.push(PortSlot(1), vni(1), 0, 64, |_| Err(5)), Err(Refused::Frame(5)));
        assert_eq!(outbox.messages()[0].count, 1);
        assert_eq!(push(&mut outbox, 1, 0, &vec![0; 65_500]), Err(Refused::TooLong));
    }

    proptest! {
        /// Whatever is pushed comes out, in order for each peer and source port, and within the kernel's limits.
        #[test]
        fn what_is_pushed_is_sent(
            frames in proptest::collection::vec(
                (0..3u16, 0..40u32, prop_oneof![Just(1400usize), 1..1500usize, Just(9000)]), 0..200),
        ) {
            let mut outbox = Outbox::new();
            let mut expected = Vec::new();
            for (number, (to, flow, length)) in frames.into_iter().enumerate() {
                let frame = vec![u8::try_from(number).unwrap(); length];
                match push(&mut outbox, to, flow, &frame) {
                    Ok(()) => expected.push((to, flow as usize % SOURCE_PORTS, frame)),
                    Err(refused) => { prop_assert_eq!(refused, Refused::Full); break; }
                }
            }
            let mut sent = Vec::new();
            for message in outbox.messages() {
                let bytes = outbox.bytes(message);
                prop_assert!(bytes.len() <= MESSAGE_BYTES && message.count <= DATAGRAMS);
                prop_assert_eq!(bytes.chunks(message.segment).count(), message.count);
                let mut frame_bytes = 0;
                for datagram in bytes.chunks(message.segment) {
                    prop_assert_eq!(header::parse(datagram), Ok(vni(u32::from(message.to.0) + 1)));
                    frame_bytes += datagram.len() - header::LEN;
                    sent.push((message.to.0, message.source, datagram[header::LEN..].to_vec()));
                }
                prop_assert_eq!(frame_bytes, message.frame_bytes());
            }
            prop_assert_eq!(sent, expected);
        }
    }
}
