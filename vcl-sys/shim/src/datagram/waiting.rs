//! Waiting for datagrams of flows, and hearing of them.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use super::Datagram;
use super::hub::{self, Hub};
use super::state::State;
use crate::readiness::{ERR, IN, Now, READ_NORMAL};

impl Datagram {
    pub(crate) fn watch(&self, by: i32) {
        self.watchers.fetch_add(by.cast_unsigned(), Ordering::AcqRel);
    }

    /// Whether a flow that is awake has a datagram.
    pub(crate) fn is_ready(&self) -> bool {
        let state = self.state.lock();
        state.flows.awake().any(|flow| flow.has_news()) || self.is_refused(&state)
    }

    fn is_refused(&self, state: &State) -> bool {
        state.peer.is_some() && self.refused.load(Ordering::Acquire)
    }

    /// Whether looking at rings can find anything.
    pub(crate) fn has_flows(&self) -> bool {
        self.is_active() && !self.state.lock().flows.is_empty()
    }

    /// What `poll` says of the flows.
    pub(crate) fn look(&self) -> Now {
        let state = self.state.lock();
        let refused = self.is_refused(&state);
        let mut now = Now { tail: state.flows.rested(), ..Now::default() };
        for flow in state.flows.awake() {
            now.tail = now.tail.wrapping_add(flow.tail());
            if flow.has_news() {
                now.mask |= IN | READ_NORMAL;
            }
        }
        if refused {
            now.mask |= ERR;
        }
        now
    }

    /// Has the hub report what comes; `true` when something is there.
    pub(crate) fn arm(&self) -> bool {
        let state = self.state.lock();
        // All of them are armed, also behind one that has something. Those that rest are already.
        let mut news = false;
        for flow in state.flows.awake() {
            news |= flow.arm();
        }
        news
    }

    /// Nobody sleeps any more, except for `others` who count on tokens.
    pub(crate) fn disarm(&self, others: u32) {
        if self.watchers.load(Ordering::Acquire) <= others {
            let state = self.state.lock();
            // A process that shares its flows may not tell for the others.
            if !state.flows.is_restless() {
                state.flows.awake().for_each(|flow| flow.disarm());
            }
        }
    }

    /// As [`digest`](Self::digest), under the number that was used last.
    pub(crate) fn digest_known(&self) {
        self.digest(self.number.load(Ordering::Relaxed));
    }

    /// Takes in what the hub has: new flows, tokens, ends of peers.
    pub(crate) fn digest(&self, fd: c_int) {
        let (mut drained, mut remind) = (false, false);
        loop {
            let Ok(names) = self.state.lock().own_hub().map(Hub::ready) else { return };
            for name in &names {
                match *name {
                    hub::ANNOUNCEMENTS => self.take_announced(),
                    hub::REMINDER => remind = true,
                    name => {
                        if self.state.lock().take_token(name) {
                            self.refused.store(true, Ordering::Release);
                        }
                        drained = true;
                    }
                }
            }
            // Who watches the hub may hear of a change only.
            if names.len() < hub::AT_ONCE {
                break;
            }
        }
        if remind {
            self.renew(fd);
        }
        // A token that was taken may have been for somebody else who sleeps.
        if drained && self.watchers.load(Ordering::Acquire) > 1 {
            self.arm();
        }
    }

    /// Length of the datagram that waits first in a flow.
    pub(crate) fn next_length(&self, fd: c_int) -> Option<usize> {
        let first = || self.state.lock().flows.awake().find_map(|flow| flow.next_length());
        first().or_else(|| {
            self.digest(fd);
            first()
        })
    }
}
