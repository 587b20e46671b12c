//! When Docker is told that endpoints are gone: one after another.
//!
//! Docker counts a network's endpoints down when the driver has answered a removal. Up to version 28 countings at the
//! same moment can lose one: two share an object that one of them reads anew between the other's subtraction and its
//! storing (`atomicIncDecEpCnt` in `libnetwork/endpoint_cnt.go` of v20.10.24, with what `getNetworksFromStore` in
//! `store.go` shares). Then the network "has active endpoints" until Docker is started again. An engine that removes
//! many endpoints in one step would have all their answers leave at once.
//!
//! When it has counted the last endpoint of a container, Docker unmounts the container's network namespace
//! (`sandbox.delete` in `sandbox.go`): that is what the next answer waits for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::model::{EndpointId, SandboxKey};

/// How long an answer waits for a namespace, which stays where an endpoint is taken from a container that goes on.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long it waits after an endpoint of which nothing tells that Docker is done with it.
const APART: Duration = Duration::from_millis(25);

/// Between looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Whose removal is answered when.
#[derive(Debug)]
pub(super) struct Farewells {
    patience: Duration,
    /// The containers that endpoints have left.
    left: Mutex<HashMap<EndpointId, SandboxKey>>,
    last: Mutex<Option<Farewell>>,
}

/// An answer that has left.
#[derive(Debug, Clone)]
struct Farewell {
    at: Instant,
    sandbox: Option<SandboxKey>,
}

impl Default for Farewells {
    fn default() -> Self {
        Self { patience: PATIENCE, left: Mutex::default(), last: Mutex::default() }
    }
}

impl Farewells {
    /// The endpoint has left this container.
    pub(super) fn remember(&self, endpoint: &EndpointId, sandbox: SandboxKey) {
        lock(&self.left).insert(endpoint.clone(), sandbox);
    }

    /// The container that the endpoint has left.
    pub(super) fn left(&self, endpoint: &EndpointId) -> Option<SandboxKey> {
        lock(&self.left).get(endpoint).cloned()
    }

    /// The endpoint is gone.
    pub(super) fn forget(&self, endpoint: &EndpointId) {
        lock(&self.left).remove(endpoint);
    }

    /// Waits until the answer may leave to a call that `arrived` then, for an endpoint that had left `sandbox`.
    pub(super) fn take_turn(
        &self,
        arrived: Instant,
        sandbox: Option<SandboxKey>,
        is_alive: impl Fn(&SandboxKey) -> bool,
    ) {
        loop {
            {
                let mut last = lock(&self.last);
                let now = Instant::now();
                let waits = last.as_ref().is_some_and(|last| {
                    self.holds_up(last, arrived, sandbox.as_ref(), now)
                        && last.sandbox.as_ref().is_none_or(&is_alive)
                });
                if !waits {
                    *last = Some(Farewell { at: now, sandbox });
                    return;
                }
            }
            thread::sleep(PAUSE);
        }
    }

    /// Whether Docker may still count for `last`, if its container is there. A call that came afterwards is not held up:
    /// who removes one after another has no two answers at the same moment. Nor is one for the same container, whose
    /// endpoints Docker removes one after another.
    fn holds_up(
        &self,
        last: &Farewell,
        arrived: Instant,
        sandbox: Option<&SandboxKey>,
        now: Instant,
    ) -> bool {
        let patience = if last.sandbox.is_some() { self.patience } else { APART };
        let same = sandbox.is_some() && sandbox == last.sandbox.as_ref();
        arrived <= last.at && !same && now < last.at + patience
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Single insertions and removals.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    fn sandbox(name: &str) -> SandboxKey {
        SandboxKey(format!("/run/docker/netns/{name}").into())
    }

    fn patient() -> Farewells {
        Farewells { patience: Duration::from_hours(1), ..Farewells::default() }
    }

    #[test]
    fn an_answer_waits_for_the_container_of_the_last_one() {
        let (farewells, arrived) = (patient(), Instant::now());
        let nobody = |_: &SandboxKey| unreachable!("nobody went before");
        farewells.take_turn(arrived, Some(sandbox("one")), nobody);
        let looks = Cell::new(0);
        let alive = |of: &SandboxKey| {
            assert_eq!(*of, sandbox("one"));
            looks.set(looks.get() + 1);
            looks.get() < 4
        };
        farewells.take_turn(arrived, Some(sandbox("other")), alive);
        assert_eq!(looks.get(), 4);
    }

    #[test]
    fn who_removes_one_after_another_does_not_wait() {
        let farewells = patient();
        for name in ["one", "two", "three"] {
            // Later than the last answer, whatever the clock's steps.
            let arrived = Instant::now() + Duration::from_secs(1);
            farewells.take_turn(arrived, Some(sandbox(name)), |_| unreachable!("nothing overlaps"));
        }
    }

    #[test]
    fn the_endpoints_of_one_container_do_not_wait_for_each_other() {
        let (farewells, arrived) = (patient(), Instant::now());
        for _ in 0..2 {
            farewells.take_turn(arrived, Some(sandbox("one")), |_| true);
        }
    }

    #[test]
    fn an_endpoint_is_known_by_its_container_until_it_is_gone() {
        let farewells = Farewells::default();
        let endpoint: EndpointId = "e".parse().unwrap();
        farewells.remember(&endpoint, sandbox("one"));
        farewells.remember(&endpoint, sandbox("two"));
        assert_eq!(farewells.left(&endpoint), Some(sandbox("two")));
        farewells.forget(&endpoint);
        assert_eq!(farewells.left(&endpoint), None);
    }

    proptest! {
        /// Nobody waits for longer than the patience, or at all when the call came later.
        #[test]
        fn waiting_ends(known: bool, before in 0..2000_u64, after in 0..2000_u64) {
            let farewells = Farewells::default();
            let start = Instant::now();
            let at = start + Duration::from_millis(before);
            let last = Farewell { at, sandbox: known.then(|| sandbox("one")) };
            let now = at + Duration::from_millis(after);
            let holds = |arrived| farewells.holds_up(&last, arrived, Some(&sandbox("other")), now);
            let patience = if known { PATIENCE } else { APART };
            prop_assert_eq!(holds(start), now < at + patience);
            prop_assert!(!holds(at + Duration::from_millis(1)));
        }
    }
}
