//! Which way long copies go into the ring.
//!
//! Two processors that share a cache hand lines to each other in a few nanoseconds, and ordinary stores are fastest.
//! Between processors that are far apart (other cores' complexes, other sockets) each store first waits for the line
//! that the reader has, some hundreds of nanoseconds, and stores past the caches move two to three times as many
//! bytes. Which of it holds is the scheduler's choice and changes while a program runs. So now and then a
//! few copies are timed in turn, both ways, and the others go the faster one's way.
//!
//! Pure: the caller tells how long a copy took.

use core::sync::atomic::{AtomicU32, Ordering};

/// How a piece is written to shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// With ordinary stores.
    Ordinary,
    /// With stores past the caches.
    Streaming,
}

/// Copies from one comparison to the next: 16 MiB of pieces of 32 KiB, which take a few milliseconds.
const PERIOD: u32 = 512;
/// The turn of the first timed copy: before it a new ring goes round once or more, and its pages are made.
const FIRST: u32 = 64;
/// Timed copies of each way; the shortest of them counts, the others may have been interrupted.
const SAMPLES: u32 = 4;

/// The choice of one direction of a session. It is made by whoever writes, one at a time; all zero bytes are a fresh
/// one.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Copying {
    turn: AtomicU32,
    /// Shortest times of the comparison under way; zero before the first.
    ordinary: AtomicU32,
    streaming: AtomicU32,
    /// Not zero: streaming.
    chosen: AtomicU32,
}

/// What to do with the next long copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) way: Way,
    /// Say how long it took: [`Copying::took`].
    pub(crate) timed: bool,
}

impl Copying {
    pub(crate) const fn new() -> Self {
        Self {
            turn: AtomicU32::new(0),
            ordinary: AtomicU32::new(0),
            streaming: AtomicU32::new(0),
            chosen: AtomicU32::new(0),
        }
    }

    /// The order for the next copy.
    #[inline]
    pub(crate) fn next(&self) -> Order {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store((turn + 1) % PERIOD, Ordering::Relaxed);
        if (FIRST..FIRST + 2 * SAMPLES).contains(&turn) {
            return Order { way: sampled(turn), timed: true };
        }
        let streaming = self.chosen.load(Ordering::Relaxed) != 0;
        Order { way: if streaming { Way::Streaming } else { Way::Ordinary }, timed: false }
    }

    /// Takes note of how long the copy of the last [`next`](Self::next) took, in any unit.
    #[cold]
    pub(crate) fn took(&self, way: Way, time: u64) {
        // Zero is for none, and nobody times a copy that takes longer than this.
        let time = u32::try_from(time).unwrap_or(u32::MAX).max(1);
        let least = match way {
            Way::Ordinary => &self.ordinary,
            Way::Streaming => &self.streaming,
        };
        let former = least.load(Ordering::Relaxed);
        least.store(if former == 0 { time } else { former.min(time) }, Ordering::Relaxed);
        if self.turn.load(Ordering::Relaxed) == FIRST + 2 * SAMPLES {
            self.choose();
        }
    }

    /// Ends a comparison. The reader has to fetch from memory what was streamed, so that must gain much: a third.
    fn choose(&self) {
        let ordinary = u64::from(self.ordinary.swap(0, Ordering::Relaxed));
        let streaming = u64::from(self.streaming.swap(0, Ordering::Relaxed));
        let pays = streaming * 3 < ordinary * 2;
        self.chosen.store(u32::from(pays), Ordering::Relaxed);
    }
}

/// Both ways in turn, so that what changes meanwhile meets both.
const fn sampled(turn: u32) -> Way {
    if turn.is_multiple_of(2) { Way::Ordinary } else { Way::Streaming }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a number of copies, of which each takes what `time` says; returns how many of the untimed ones were
    /// streamed.
    fn run(copying: &Copying, copies: u32, mut time: impl FnMut(Way) -> u64) -> u32 {
        let mut streamed = 0;
        for _ in 0..copies {
            let Order { way, timed } = copying.next();
            if timed {
                copying.took(way, time(way));
            } else {
                streamed += u32::from(way == Way::Streaming);
            }
        }
        streamed
    }

    fn by(ordinary: u64, streaming: u64) -> impl FnMut(Way) -> u64 {
        move |way| if way == Way::Ordinary { ordinary } else { streaming }
    }

    #[test]
    fn it_goes_the_ordinary_way_until_it_has_compared() {
        assert_eq!(run(&Copying::new(), FIRST, |_| unreachable!("nothing is timed yet")), 0);
    }

    #[test]
    fn the_way_that_gains_a_third_is_taken_and_left_again() {
        let copying = Copying::new();
        run(&copying, PERIOD, by(9000, 3000));
        assert_eq!(run(&copying, FIRST, by(0, 0)), FIRST);
        // The scheduler moved one side near the other.
        run(&copying, PERIOD - FIRST, by(1000, 3000));
        assert_eq!(run(&copying, FIRST, by(0, 0)), 0);
    }

    #[test]
    fn a_small_gain_is_none() {
        let copying = Copying::new();
        run(&copying, PERIOD, by(3000, 2100));
        assert_eq!(run(&copying, FIRST, by(0, 0)), 0);
    }

    #[test]
    fn an_interrupted_copy_does_not_count() {
        let copying = Copying::new();
        let mut copies = 0;
        run(&copying, PERIOD, |way| {
            copies += 1;
            let interrupted = copies == 2 || copies == 3;
            if interrupted { 1 << 40 } else { by(9000, 3000)(way) }
        });
        assert_eq!(copies, 2 * SAMPLES);
        assert_eq!(run(&copying, FIRST, by(0, 0)), FIRST);
    }

    #[test]
    fn without_a_clock_it_stays_with_ordinary_copies() {
        let copying = Copying::new();
        assert_eq!(run(&copying, 4 * PERIOD, |_| 0), 0);
    }
}
