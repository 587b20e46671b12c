//! Who may work on which network and endpoint now.
//!
//! Docker calls for different containers in parallel. Calls for one endpoint exclude each other;
//! a call that creates or removes a network excludes every other call for that network. Callers
//! take the network's pass before the endpoint's and never hold two of a kind, so they cannot
//! wait for each other in a circle.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::model::{EndpointId, NetworkId};

/// What a pass is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Network(NetworkId),
    Endpoint(EndpointId),
}

#[derive(Debug, Clone, Copy)]
enum Hold {
    Shared(usize),
    Exclusive,
}

/// The passes that are out.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    held: Mutex<HashMap<Key, Hold>>,
    returned: Condvar,
}

/// The right to work on a network or an endpoint, until dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    key: Key,
}

impl Gate {
    /// Waits until nobody creates or removes the network; calls for its endpoints share it.
    pub(crate) fn share_network(&self, network: &NetworkId) -> Pass<'_> {
        let key = Key::Network(network.clone());
        let mut held = self.lock();
        loop {
            match held.entry(key.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(Hold::Shared(1));
                    break;
                }
                Entry::Occupied(mut entry) => {
                    if let Hold::Shared(count) = entry.get_mut() {
                        *count += 1;
                        break;
                    }
                }
            }
            held = self.returned.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        Pass { gate: self, key }
    }

    /// Waits until nobody else works on the network or its endpoints.
    pub(crate) fn take_network(&self, network: &NetworkId) -> Pass<'_> {
        self.take(Key::Network(network.clone()))
    }

    /// Waits until nobody else works on the endpoint.
    pub(crate) fn take_endpoint(&self, endpoint: &EndpointId) -> Pass<'_> {
        self.take(Key::Endpoint(endpoint.clone()))
    }

    fn take(&self, key: Key) -> Pass<'_> {
        let mut held = self.lock();
        while held.contains_key(&key) {
            held = self.returned.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        held.insert(key.clone(), Hold::Exclusive);
        Pass { gate: self, key }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Hold>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut held = self.gate.lock();
        match held.get_mut(&self.key) {
            Some(Hold::Shared(count)) if *count > 1 => *count -= 1,
            _ => {
                held.remove(&self.key);
            }
        }
        self.gate.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn passes_come_back() {
        let gate = Gate::default();
        let network: NetworkId = "n".parse().unwrap();
        let first = gate.share_network(&network);
        let second = gate.share_network(&network);
        drop(first);
        assert!(matches!(gate.lock().values().next(), Some(Hold::Shared(1))));
        drop(second);
        drop(gate.take_network(&network));
        assert!(gate.lock().is_empty());
    }

    #[test]
    fn one_endpoint_is_worked_on_by_one_thread() {
        let gate = Gate::default();
        let endpoint: EndpointId = "e".parse().unwrap();
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _pass = gate.take_endpoint(&endpoint);
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(gate.lock().is_empty());
    }
}
