//! Which datagrams went lately: what somebody says of others is made up (RFC 8201, 4; RFC 8085, 5.2; RFC 5927, 7).

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

/// Pairs of a sender and a destination that are remembered at most. A complaint comes soon, or is about one of the
/// next datagrams.
const MOST: usize = 1024;

/// From where, and to where.
type Ends = (SocketAddr, SocketAddr);

/// The pairs of ends between which datagrams went last.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    known: HashSet<Ends>,
    /// Oldest first.
    order: VecDeque<Ends>,
}

impl Sent {
    /// A datagram went.
    pub(crate) fn note(&mut self, from: SocketAddr, to: SocketAddr) {
        if self.order.back() == Some(&(from, to)) || !self.known.insert((from, to)) {
            return;
        }
        self.order.push_back((from, to));
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether a datagram went between these, as far as is remembered.
    pub(crate) fn contains(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.known.contains(&(from, to))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn however_many_destinations_the_latest_are_remembered() {
        let mut sent = Sent::default();
        let at = |number: u32| SocketAddr::from((Ipv4Addr::from(number), 53));
        let most = u32::try_from(MOST).expect("few");
        for number in 1..=2 * most {
            sent.note(at(0), at(number));
            sent.note(at(0), at(number));
        }
        assert_eq!((sent.known.len(), sent.order.len()), (MOST, MOST));
        assert!(sent.contains(at(0), at(most + 1)) && sent.contains(at(0), at(2 * most)));
        assert!(!sent.contains(at(0), at(most)), "the oldest gave way");
        assert!(!sent.contains(at(1), at(2 * most)), "from elsewhere");
    }
}
