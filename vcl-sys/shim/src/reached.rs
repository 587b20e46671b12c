//! Destinations that were reached by a session a moment ago.
//!
//! The first `connect` to a destination waits for the broker to say whether it is one for sessions,
//! because the kernel's socket must be kept when it is not. Further ones of non-blocking sockets need
//! not wait: the same listener will most likely take them, and if it is gone by then, a refusal is
//! what the kernel would have answered too.

use core::net::SocketAddr;

use crate::clock;
use crate::sync::SpinLock;

/// Destinations that are remembered.
const PLACES: usize = 16;

/// How long, in nanoseconds.
const FOR: u64 = 1_000_000_000;

struct Memory {
    places: [Option<(SocketAddr, u64)>; PLACES],
    next: usize,
}

static MEMORY: SpinLock<Memory> = SpinLock::new(Memory { places: [None; PLACES], next: 0 });

/// Whether a session reached it within the last second.
pub(crate) fn recently(destination: SocketAddr) -> bool {
    let now = clock::now();
    let memory = MEMORY.lock();
    memory.places.iter().flatten().any(|(it, until)| *it == destination && now < *until)
}

/// A session reached it just now.
pub(crate) fn note(destination: SocketAddr) {
    let until = clock::now().saturating_add(FOR);
    let mut memory = MEMORY.lock();
    let known = memory.places.iter().position(|it| it.is_some_and(|(it, _)| it == destination));
    let place = known.unwrap_or(memory.next);
    memory.places[place] = Some((destination, until));
    if known.is_none() {
        memory.next = (place + 1) % PLACES;
    }
}

/// It is reached no more.
pub(crate) fn forget(destination: SocketAddr) {
    let mut memory = MEMORY.lock();
    for place in &mut memory.places {
        *place = place.filter(|(it, _)| *it != destination);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_remembered_until_it_is_forgotten_or_pushed_out() {
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        note(at(1));
        note(at(1));
        assert!(recently(at(1)));
        assert!(!recently(at(2)));
        forget(at(1));
        assert!(!recently(at(1)));
        note(at(3));
        for port in 100..100 + u16::try_from(PLACES).expect("a few") {
            note(at(port));
        }
        assert!(!recently(at(3)));
    }
}
