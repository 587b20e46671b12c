//! Clearing up: sessions that are over are forgotten, and a serving thread that a program holds up is
//! replaced.
//!
//! Closing a descriptor that a program sent may take as long as that program likes, and so may accepting
//! from a socket whose flags it can change. The serving thread does both without the lock and says
//! whose descriptor it is; when that takes too long the endpoint is not served any more, and a new
//! thread serves the others.
//!
//! The janitor sleeps while there are no sessions and no requests come.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::memory::Deserted;
use super::thread::Shared;

/// Between looks while sessions are being made, and while there are some.
const WHILE_BUSY: Duration = Duration::from_millis(100);
const WHILE_IDLE: Duration = Duration::from_secs(1);

/// Looks at the same work until the thread counts as held up.
const PATIENT_LOOKS: u32 = 5;

/// Sessions that are looked at with the lock held once.
const PER_LOCK: usize = 64;

/// Places that are looked at each time: all of them within a second of busy looks and half a minute of
/// idle ones, some at least; and for each session that was made since the last look so many more, so
/// that what is over does not outnumber what is not.
const LEAST: usize = 64;
const BUSY_SHARE: usize = 10;
const IDLE_SHARE: usize = 30;
const PER_MADE: usize = 4;

/// Does all chores until the broker ends; then waits for `thread` to end.
pub(super) fn run(shared: &Arc<Shared>, mut thread: JoinHandle<()>) {
    let mut limit = None;
    let mut made = 0;
    let mut looks = (0, 0);
    let mut seen = 0;
    while shared.await_chores(limit, seen) {
        seen = shared.activity();
        let exposure = shared.exposure();
        looks = match exposure {
            Some((turn, _)) if turn == looks.0 => (turn, looks.1 + 1),
            Some((turn, _)) => (turn, 0),
            None => (0, 0),
        };
        if looks.1 == PATIENT_LOOKS
            && let Some((_, endpoint)) = exposure
        {
            tracing::warn!(
                endpoint = endpoint.0,
                "a container holds the session broker up with a descriptor: it is not served any more"
            );
            let trash = shared.with(|state| {
                state.stop_serving(endpoint);
                state.drop_listeners(endpoint);
                std::mem::take(&mut state.trash)
            });
            // Closing these may wait as well, and nobody waits for it.
            std::thread::spawn(move || drop(trash));
            match Shared::start_thread(shared) {
                Ok(successor) => thread = successor,
                Err(error) => tracing::error!(%error, "the broker cannot go on"),
            }
        }
        let (places, (given_up, pooled), waiting, made_now) = shared.with(|state| {
            let tidied = state.pool.tidy(&state.maker);
            let waiting = !state.waiting.is_empty() || !state.stack_doors.is_empty();
            (state.registry.places(), tidied, waiting, state.made)
        });
        given_up.into_iter().for_each(Deserted::empty);
        let fresh = usize::try_from(made_now - made).unwrap_or(usize::MAX);
        let share = if limit == Some(WHILE_BUSY) { BUSY_SHARE } else { IDLE_SHARE };
        let count = fresh.saturating_mul(PER_MADE).saturating_add((places / share).max(LEAST));
        let over = sweep(shared, count.min(places));
        let busy = fresh > 0 || over > 0 || looks.0 != 0;
        if waiting {
            shared.with(super::state::State::admit_after_sweep);
        }
        made = made_now;
        limit = match (busy, places > 0 || pooled || waiting) {
            (true, _) => Some(WHILE_BUSY),
            (false, true) => Some(WHILE_IDLE),
            (false, false) => None,
        };
    }
    if shared.exposure().is_none() && thread.join().is_err() {
        tracing::error!("the broker thread had panicked");
    }
}

/// Looks at so many places; answers how many sessions were over.
fn sweep(shared: &Shared, count: usize) -> usize {
    let mut over = 0;
    let mut left = count;
    while left > 0 {
        let some = left.min(PER_LOCK);
        // Their memory is given back without the lock.
        over += shared.with(|state| state.sweep(some, false)).len();
        left -= some;
    }
    over
}
