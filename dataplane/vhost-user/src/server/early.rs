//! Rings that are enabled before the features are agreed on.
//!
//! QEMU enables the first rings of a device as soon as it has attached it (`peer_attach` in `hw/net/virtio-net.c`;
//! seen with 7.2), long before the guest's driver chooses features, and enables them again when it starts the
//! device. The crate that reads messages hangs up on the first of these: it knows only from `SET_FEATURES` that there
//! are such messages. So until then this one message is read here.

use std::io;
use std::io::Write as _;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvFlags, recv};

/// `SET_VRING_ENABLE`: request, flags and length, then the ring's index and its state; 32 bits each, in the byte order
/// of the machine ("Message Specification" of the vhost-user protocol).
const LENGTH: usize = 20;
const HEADER: usize = 12;
const SET_VRING_ENABLE: u32 = 18;

/// The flags: two bits of version, then what the message is.
const VERSION: u32 = 1;
const VERSION_BITS: u32 = 3;
const REPLY: u32 = 1 << 2;
const NEED_REPLY: u32 = 1 << 3;

/// A ring that is to be enabled, or disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Enable {
    pub(super) index: u32,
    pub(super) enabled: bool,
    /// The front end waits for an answer, if it has agreed on answers.
    pub(super) answered: bool,
}

impl Enable {
    /// Takes it off the socket, if that is what comes next and is there as a whole. Anything else stays.
    pub(super) fn take(socket: &UnixStream) -> Option<Self> {
        let mut bytes = [0; LENGTH];
        let (length, _) =
            recv(socket, &mut bytes[..], RecvFlags::PEEK | RecvFlags::DONTWAIT).ok()?;
        let message = Self::parse(&bytes[..length])?;
        // What was seen is there. Descriptors that came with it have no meaning and are closed by the kernel.
        recv(socket, &mut bytes[..], RecvFlags::DONTWAIT).ok()?;
        Some(message)
    }

    /// Says that it is done.
    pub(super) fn answer(mut socket: &UnixStream) -> io::Result<()> {
        let done = [SET_VRING_ENABLE, VERSION | REPLY, 8, 0, 0];
        socket.write_all(&done.map(u32::to_ne_bytes).concat())
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let (request, flags, length) = (word(0)?, word(4)?, word(8)?);
        let expected = request == SET_VRING_ENABLE
            && flags & (VERSION_BITS | REPLY) == VERSION
            && usize::try_from(length) == Ok(LENGTH - HEADER);
        let enabled = match word(16)? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let message = Self { index: word(12)?, enabled, answered: flags & NEED_REPLY != 0 };
        expected.then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn bytes(words: [u32; 5]) -> Vec<u8> {
        words.map(u32::to_ne_bytes).concat()
    }

    #[test]
    fn the_message_is_known_by_all_of_its_header() {
        let whole = bytes([18, 1, 8, 3, 1]);
        let expected = Enable { index: 3, enabled: true, answered: false };
        assert_eq!(Enable::parse(&whole), Some(expected));
        let asking = Enable { index: 0, enabled: false, answered: true };
        assert_eq!(Enable::parse(&bytes([18, 1 | NEED_REPLY, 8, 0, 0])), Some(asking));
        for other in [
            [17, 1, 8, 3, 1],
            [18, 2, 8, 3, 1],
            [18, 1 | REPLY, 8, 3, 1],
            [18, 1, 12, 3, 1],
            [18, 1, 8, 3, 2],
        ] {
            assert_eq!(Enable::parse(&bytes(other)), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_something_else_or_not_whole_stays() {
        let (near, mut far) = UnixStream::pair().unwrap();
        assert_eq!(Enable::take(&near), None);
        for sent in [&bytes([18, 1, 8, 3, 1])[..19], &bytes([2, 1, 8, 3, 1])] {
            far.write_all(sent).unwrap();
            assert_eq!(Enable::take(&near), None);
            let mut left = vec![0; sent.len()];
            (&near).read_exact(&mut left).unwrap();
            assert_eq!(left, sent);
        }
        far.write_all(&[bytes([18, 1, 8, 3, 1]), vec![7]].concat()).unwrap();
        assert!(Enable::take(&near).is_some());
        let mut next = [0];
        (&near).read_exact(&mut next).unwrap();
        assert_eq!(next, [7]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let _ = Enable::parse(&bytes);
        }
    }
}
