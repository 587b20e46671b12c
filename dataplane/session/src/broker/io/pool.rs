//! Which memory a new session gets.
//!
//! Making, mapping and freeing memory is the larger part of what a short session costs. So sessions of
//! the same process to the same listener get places in one memory, one after the other; a place is used
//! once. When all sessions of a memory are over, which the lock tells (see `memory`), it is used anew.
//! Nothing depends on what the programs say: a process that inherited one session, or was given
//! it, keeps the whole memory from being used anew.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::memory::{Deserted, Kept, Maker, Memory};
use crate::broker::core::{EndpointKey, ListenerId};
use crate::layout::RingSize;

/// Sessions that share a memory at most.
const PLACES: u16 = 16;

/// A memory is not made larger than this for more sessions, in bytes.
const LARGEST: usize = 16 << 20;

/// Memories that are kept for an endpoint to be used anew.
const MOST: usize = 256;

/// Memories that are looked at before a new one is made.
const LOOKS: usize = 4;

/// Whose sessions share a memory: what the process of an endpoint said of itself, and the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sharing {
    pub(super) process: u64,
    pub(super) listener: ListenerId,
}

#[derive(Debug)]
struct Shared {
    by: Sharing,
    memory: Arc<Memory>,
    /// The first place that was not used yet.
    next: u16,
    /// What is given to programs while there are such places. It holds the lock.
    lent: Option<Arc<OwnedFd>>,
    /// A session was made since [`Pool::tidy`].
    used: bool,
}

/// The memories that get more sessions, by the endpoint that connects, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Pool(HashMap<EndpointKey, VecDeque<Shared>>);

/// Makes a memory for one session alone.
pub(super) fn alone(
    maker: &mut Maker,
    ring_size: RingSize,
) -> rustix::io::Result<(Kept, Arc<OwnedFd>)> {
    let (memory, lent) = maker.make(ring_size, 1)?;
    Ok((memory.prepare(lent.as_fd(), 0)?, Arc::new(lent)))
}

impl Pool {
    /// A place for a session of `client`, and the memory for its programs.
    pub(super) fn place(
        &mut self,
        maker: &mut Maker,
        client: EndpointKey,
        by: Sharing,
        ring_size: RingSize,
    ) -> rustix::io::Result<(Kept, Arc<OwnedFd>)> {
        let own = self.0.entry(client).or_default();
        let fits = |it: &Shared| it.by == by && it.memory.ring_size() == ring_size;
        let current = own.iter().rposition(|it| fits(it) && it.next < it.memory.places());
        let at = if let Some(at) = current {
            at
        } else {
            let anew = deserted(own, fits);
            own.push_back(anew.map_or_else(|| Shared::make(maker, by, ring_size), Ok)?);
            if own.len() > MOST {
                own.pop_front();
            }
            own.len() - 1
        };
        own[at].take(maker)
    }

    /// Gives up what was not used since the last time and is deserted, which is to be emptied; answers also whether
    /// something is left.
    pub(super) fn tidy(&mut self, maker: &Maker) -> (Vec<Deserted>, bool) {
        let mut given_up = Vec::new();
        self.0.retain(|_, own| {
            own.retain_mut(|shared| {
                if std::mem::take(&mut shared.used) {
                    return true;
                }
                shared.lent = None;
                let deserted = shared.memory.is_deserted();
                if deserted {
                    given_up.extend(maker.give_up(&shared.memory));
                }
                !deserted
            });
            !own.is_empty()
        });
        (given_up, !self.0.is_empty())
    }

    /// Lets go of all locks, so that what is deserted can be seen.
    pub(super) fn unlock(&mut self) {
        for shared in self.0.values_mut().flatten() {
            shared.lent = None;
        }
    }

    /// Forgets the memories of an endpoint; its sessions keep theirs.
    pub(super) fn forget(&mut self, client: EndpointKey) {
        self.0.remove(&client);
    }
}

/// Takes a memory out that can be used anew. Those that cannot be go behind the others.
fn deserted(own: &mut VecDeque<Shared>, fits: impl Fn(&Shared) -> bool) -> Option<Shared> {
    for _ in 0..LOOKS {
        let at = own.iter().position(&fits)?;
        let mut shared = own.remove(at)?;
        if shared.memory.is_deserted() {
            shared.memory.begin_anew();
            shared.next = 0;
            return Some(shared);
        }
        own.push_back(shared);
    }
    None
}

impl Shared {
    fn make(maker: &mut Maker, by: Sharing, ring_size: RingSize) -> rustix::io::Result<Self> {
        let most = LARGEST / ring_size.memory_bytes();
        let places = u16::try_from(most).map_or(PLACES, |most| most.clamp(1, PLACES));
        let (memory, lent) = maker.make(ring_size, places)?;
        Ok(Self { by, memory, next: 0, lent: Some(Arc::new(lent)), used: true })
    }

    fn take(&mut self, maker: &Maker) -> rustix::io::Result<(Kept, Arc<OwnedFd>)> {
        let lent = match self.lent.take() {
            Some(lent) => lent,
            None => Arc::new(maker.lend_again(&self.memory)?),
        };
        let kept = self.memory.prepare(lent.as_fd(), self.next)?;
        self.next += 1;
        self.used = true;
        if self.next < self.memory.places() {
            self.lent = Some(Arc::clone(&lent));
        }
        Ok((kept, lent))
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Seen;
    use super::*;
    use crate::layout::Glance;

    const BY: Sharing = Sharing { process: 7, listener: ListenerId(1) };
    const CLIENT: EndpointKey = EndpointKey(1);

    struct Bench {
        maker: Maker,
        pool: Pool,
    }

    impl Bench {
        fn new() -> Self {
            Self { maker: Maker::new().expect("/proc is there"), pool: Pool::default() }
        }

        /// Whether something is left.
        fn tidy(&mut self) -> bool {
            let (given_up, left) = self.pool.tidy(&self.maker);
            given_up.into_iter().for_each(Deserted::empty);
            left
        }

        fn place(&mut self, ring_size: RingSize) -> (Kept, Arc<OwnedFd>) {
            self.pool.place(&mut self.maker, CLIENT, BY, ring_size).expect("memory")
        }
    }

    #[test]
    fn a_memory_that_nobody_has_any_more_is_used_anew() {
        let mut bench = Bench::new();
        let first: Vec<_> = (0..PLACES).map(|_| bench.place(RingSize::DEFAULT)).collect();
        let name = first[0].0.name();
        assert!(
            first
                .iter()
                .all(|(kept, _)| kept.name() == name && !kept.is_over(true, &mut Seen::default()))
        );
        rustix::io::pwrite(&first[0].1, &[0xff; 256], 0x100).expect("a program may write");
        let second = bench.place(RingSize::DEFAULT);
        assert_ne!(second.0.name(), name, "programs have the first one");
        let (kept, lent): (Vec<_>, Vec<_>) = first.into_iter().unzip();
        drop(lent);
        let rest: Vec<_> = (1..PLACES).map(|_| bench.place(RingSize::DEFAULT)).collect();
        let (anew, _lent) = bench.place(RingSize::DEFAULT);
        assert_eq!((anew.name(), anew.place.index()), (name, 0));
        assert_eq!(anew.glance(), Some([Glance::default(); 2]));
        assert!(
            kept.iter().all(|old| old.is_over(false, &mut Seen::default())),
            "those from before are over"
        );
        assert!(
            !anew.is_over(true, &mut Seen::default())
                && rest.iter().all(|(kept, _)| !kept.is_over(true, &mut Seen::default()))
        );
    }

    #[test]
    fn a_memory_is_looked_at_once_for_all_of_its_sessions() {
        let mut bench = Bench::new();
        let (first, lent) = bench.place(RingSize::DEFAULT);
        let (second, also_lent) = bench.place(RingSize::DEFAULT);
        bench.pool.unlock();
        let mut seen = Seen::default();
        assert!(!first.is_over(false, &mut seen));
        drop((lent, also_lent));
        assert!(!second.is_over(false, &mut seen), "this look saw the memory already");
        assert!(second.is_over(false, &mut Seen::default()));
    }

    #[test]
    fn what_is_not_used_is_freed_and_what_is_held_can_be_lent_again() {
        let mut bench = Bench::new();
        let (held, lent) = bench.place(RingSize::DEFAULT);
        assert!(bench.tidy() && bench.tidy(), "a program has it");
        let (again, _) = bench.place(RingSize::DEFAULT);
        assert_eq!((again.name(), again.place.index()), (held.name(), 1));
        // A program has it mapped, and no session there.
        let mapped = bench.maker.give_up(held.memory()).expect("a descriptor is left");
        let pages = || rustix::fs::fstat(mapped.file()).expect("it is open").st_blocks;
        drop(lent);
        assert!(bench.tidy(), "it was used since the last time");
        assert!(pages() > 0);
        assert!(
            !bench.tidy()
                && pages() == 0
                && held.is_over(false, &mut Seen::default())
                && again.is_over(false, &mut Seen::default())
        );
    }

    #[test]
    fn memories_of_large_rings_have_fewer_places_and_rings_of_another_size_other_memories() {
        let mut bench = Bench::new();
        let sizes = [4 << 10, 1 << 20, 16 << 20].map(|bytes| RingSize::new(bytes).expect("valid"));
        let kept = sizes.map(|size| bench.place(size).0);
        assert_eq!(kept.each_ref().map(|it| it.place.count()), [PLACES, 7, 1]);
    }

    #[test]
    fn no_endpoint_has_more_than_its_share_kept() {
        let mut bench = Bench::new();
        for process in 1..2 * MOST as u64 {
            let by = Sharing { process, ..BY };
            bench.pool.place(&mut bench.maker, CLIENT, by, RingSize::DEFAULT).expect("memory");
        }
        assert_eq!(bench.pool.0[&CLIENT].len(), MOST);
        bench.pool.forget(CLIENT);
        assert!(!bench.tidy());
    }
}
