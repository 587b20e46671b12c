//! Transport protocols. Pure.

use crate::Release;

/// A transport protocol of a session: `vppcom_proto_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp = 1,
    /// TLS over TCP.
    Tls = 3,
    /// QUIC.
    Quic = 4,
    /// TLS over UDP.
    Dtls = 5,
    /// SRTP.
    Srtp = 6,
    /// HTTP, since v24.10.
    Http = 7,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Tcp, Self::Udp, Self::Tls, Self::Quic, Self::Dtls, Self::Srtp, Self::Http];

    /// Its number for libvppcom.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The protocol of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.number() == number)
    }

    /// The first release that has it, of those that this crate calls.
    pub const fn since(self) -> Release {
        match self {
            Self::Http => Release::new(24, 10),
            _ => Release::OLDEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_both_ways() {
        for protocol in Protocol::ALL {
            assert_eq!(Protocol::from_number(protocol.number()), Some(protocol));
        }
        assert_eq!(Protocol::from_number(2), None);
        assert_eq!(Protocol::from_number(8), None);
    }
}
