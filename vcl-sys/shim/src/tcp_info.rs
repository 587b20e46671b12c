//! What `TCP_INFO` says of a session.

/// Bytes of `struct tcp_info` that are filled: up to `tcpi_rehash` (linux/tcp.h, Linux 6.2).
pub(crate) const BYTES: usize = 240;

/// Segments of a path with the usual MTU of 1500 bytes.
pub(crate) const SEGMENT: u32 = 1448;

/// What is known of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) state: State,
    /// Bytes written so far, and how many of them the peer has not read.
    pub(crate) sent: u64,
    pub(crate) unread: u32,
    /// Bytes read so far, and how many wait.
    pub(crate) received: u64,
    pub(crate) waiting: u32,
    /// Size of a ring.
    pub(crate) window: u32,
}

/// States of TCP (`include/net/tcp_states.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Established = 1,
    SynSent = 2,
    FinWait2 = 5,
    Close = 7,
    CloseWait = 8,
    LastAck = 9,
}

/// The structure's bytes. Times are those of memory of one host: a round trip of microseconds, no
/// loss, a congestion window as large as the ring.
pub(crate) fn encode(facts: &Facts) -> [u8; BYTES] {
    let mut out = [0; BYTES];
    out[0] = facts.state as u8;
    // SACK, timestamps and window scaling, by 7 bits both ways.
    out[5] = 1 | 2 | 4;
    out[6] = 0x77;
    let segments = facts.window / SEGMENT;
    let words: [(usize, u32); 20] = [
        (8, 204_000),                                      // rto, µs
        (12, 40_000),                                      // ato, µs
        (16, SEGMENT),                                     // snd_mss
        (20, SEGMENT),                                     // rcv_mss
        (24, facts.unread.div_ceil(SEGMENT)),              // unacked
        (60, 1500),                                        // pmtu
        (64, facts.window),                                // rcv_ssthresh
        (68, 20),                                          // rtt, µs
        (72, 5),                                           // rttvar, µs
        (76, 0x7fff_ffff),                                 // snd_ssthresh
        (80, segments.max(10)),                            // snd_cwnd
        (84, SEGMENT),                                     // advmss
        (88, 3),                                           // reordering
        (92, 20),                                          // rcv_rtt, µs
        (96, facts.window),                                // rcv_space
        (136, count(facts.sent)),                          // segs_out
        (140, count(facts.received)),                      // segs_in
        (148, 10),                                         // min_rtt, µs
        (228, facts.window.saturating_sub(facts.unread)),  // snd_wnd
        (232, facts.window.saturating_sub(facts.waiting)), // rcv_wnd
    ];
    for (at, word) in words {
        out[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    let acknowledged = facts.sent.saturating_sub(u64::from(facts.unread));
    let received = facts.received.saturating_add(u64::from(facts.waiting));
    for (at, long) in [(112, u64::MAX), (120, acknowledged), (128, received), (200, facts.sent)] {
        out[at..at + 8].copy_from_slice(&long.to_ne_bytes());
    }
    out
}

fn count(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(u64::from(SEGMENT)) % (1 << 32)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    #[test]
    fn the_places_are_those_of_the_c_structure() {
        let facts = Facts {
            state: State::CloseWait,
            sent: 1_000_000,
            unread: 3000,
            received: 77,
            waiting: 5,
            window: 262_144,
        };
        let bytes = encode(&facts);
        let word = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().expect("inside"));
        assert_eq!(bytes[0], 8);
        assert_eq!(word(offset_of!(libc::tcp_info, tcpi_snd_mss)), SEGMENT);
        assert_eq!(word(offset_of!(libc::tcp_info, tcpi_unacked)), 3);
        assert_eq!(word(offset_of!(libc::tcp_info, tcpi_rtt)), 20);
        assert_eq!(word(offset_of!(libc::tcp_info, tcpi_snd_cwnd)), 181);
        assert_eq!(word(offset_of!(libc::tcp_info, tcpi_rcv_space)), 262_144);
    }
}
