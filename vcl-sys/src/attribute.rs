//! The operations of `vppcom_session_attr`: numbers, and since when they are there. Pure.

use crate::Release;

macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $year:literal, $month:literal;)+) => {
        /// An operation of `vppcom_session_attr`, by its number since v21.10.
        ///
        /// Only [`SetTcpUserMss`](Self::SetTcpUserMss), addresses, flags, DSCP, VRF and what belongs to TLS
        /// and streams do something; most others are remembered without effect (v26.06 `vppcom.c`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Attribute {
            $($(#[$doc])* $name = $number,)+
        }

        impl Attribute {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The first release that has it, of those that this crate calls.
            pub const fn since(self) -> Release {
                match self {
                    $(Self::$name => Release::new($year, $month),)+
                }
            }
        }
    };
}

attributes! {
    /// Bytes, or connections, that wait to be read.
    NRead = 0, 21, 10;
    /// Room for bytes to be written.
    NWrite = 1, 21, 10;
    /// `O_RDWR`, `O_NONBLOCK`.
    GetFlags = 2, 21, 10;
    /// Sets `O_NONBLOCK`.
    SetFlags = 3, 21, 10;
    /// The own address.
    GetLocalAddr = 4, 21, 10;
    /// Sets the own address.
    SetLocalAddr = 5, 21, 10;
    /// The peer's address.
    GetPeerAddr = 6, 21, 10;
    /// Without use since v25.02.
    GetUnused = 7, 21, 10;
    /// Without use since v25.02.
    SetUnused = 8, 21, 10;
    /// The transport protocol.
    GetProtocol = 9, 21, 10;
    /// Whether it was marked as listening.
    GetListen = 10, 21, 10;
    /// Always zero: ask [`Session::error`](crate::Session::error).
    GetError = 11, 21, 10;
    /// Bytes of the transmit FIFO.
    GetTxFifoLen = 12, 21, 10;
    /// Remembered, without effect.
    SetTxFifoLen = 13, 21, 10;
    /// Bytes of the receive FIFO.
    GetRxFifoLen = 14, 21, 10;
    /// Remembered, without effect.
    SetRxFifoLen = 15, 21, 10;
    /// What was set.
    GetReuseAddr = 16, 21, 10;
    /// Remembered, without effect.
    SetReuseAddr = 17, 21, 10;
    /// What was set.
    GetReusePort = 18, 21, 10;
    /// Remembered, without effect.
    SetReusePort = 19, 21, 10;
    /// What was set.
    GetBroadcast = 20, 21, 10;
    /// Remembered, without effect.
    SetBroadcast = 21, 21, 10;
    /// What was set.
    GetV6Only = 22, 21, 10;
    /// Remembered, without effect.
    SetV6Only = 23, 21, 10;
    /// What was set.
    GetKeepAlive = 24, 21, 10;
    /// Remembered, without effect.
    SetKeepAlive = 25, 21, 10;
    /// What was set.
    GetTcpNoDelay = 26, 21, 10;
    /// Remembered, without effect.
    SetTcpNoDelay = 27, 21, 10;
    /// What was set.
    GetTcpKeepIdle = 28, 21, 10;
    /// Remembered, without effect.
    SetTcpKeepIdle = 29, 21, 10;
    /// What was set.
    GetTcpKeepInterval = 30, 21, 10;
    /// Remembered, without effect.
    SetTcpKeepInterval = 31, 21, 10;
    /// The largest segment; asks VPP and waits for at most a second.
    GetTcpUserMss = 32, 21, 10;
    /// Sets the largest segment; asks VPP and waits for at most a second.
    SetTcpUserMss = 33, 21, 10;
    /// A UDP session counts as connected.
    SetConnected = 34, 21, 10;
    /// The certificate and key of a TLS session.
    SetCertKeyPair = 35, 21, 10;
    /// The table of routes; honoured in the default namespace only.
    SetVrf = 36, 21, 10;
    /// The table of routes.
    GetVrf = 37, 21, 10;
    /// `AF_INET` or `AF_INET6`.
    GetDomain = 38, 21, 10;
    /// A structure of the release's own.
    SetExtendedConfig = 39, 21, 10;
    /// The DSCP of packets.
    SetDscp = 40, 22, 2;
    /// Whether datagrams come with their destination.
    SetIpPacketInfo = 41, 23, 6;
    /// What was set.
    GetIpPacketInfo = 42, 23, 6;
    /// The destination before translation, IPv4 only.
    GetOriginalDestination = 43, 23, 10;
    /// Bytes that were written and not acknowledged.
    NWriteQueued = 44, 24, 6;
    /// The address after translation.
    GetExternalEndpoint = 45, 25, 2;
    /// Always zero.
    GetCookie = 46, 25, 10;
    /// Without effect.
    SetCookie = 47, 25, 10;
    /// Whether a stream goes one way.
    GetStreamFlags = 48, 26, 2;
    /// Has a stream go one way.
    SetStreamFlags = 49, 26, 2;
    /// The error code of the application's protocol.
    GetAppProtocolError = 50, 26, 2;
    /// Sets the error code of the application's protocol.
    SetAppProtocolError = 51, 26, 2;
}

impl Attribute {
    /// Its number for libvppcom.
    pub const fn number(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_header() {
        for (at, attribute) in (0..).zip(Attribute::ALL) {
            assert_eq!(attribute.number(), at, "{attribute:?}");
        }
        assert_eq!(Attribute::ALL.len(), 52);
        assert_eq!(Attribute::SetCertKeyPair.number(), 35);
        assert_eq!(Attribute::SetExtendedConfig.number(), 39);
    }

    #[test]
    fn later_attributes_have_larger_numbers() {
        assert!(Attribute::ALL.is_sorted_by_key(|it| it.since()));
        assert_eq!(Attribute::SetDscp.since(), Release::new(22, 2));
    }
}
