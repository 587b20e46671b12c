//! When a registration is reported: level, edge, once. No I/O, no clock.
//!
//! The rules are those of Linux (`ep_send_events`, `ep_poll_callback`): an edge is whatever makes the
//! kernel call back for a TCP socket (bytes came, room came after a write found none, something ended);
//! once there is one, everything that is ready now is reported.

use crate::readiness::{ALWAYS, Happened, IN, Now, READ_NORMAL, WRITES};

pub(crate) const EDGE: u32 = libc::EPOLLET.cast_unsigned();
pub(crate) const ONE_SHOT: u32 = libc::EPOLLONESHOT.cast_unsigned();
pub(crate) const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE.cast_unsigned();
pub(crate) const WAKE_UP: u32 = libc::EPOLLWAKEUP.cast_unsigned();

/// Bits that say how to report, not what (`EP_PRIVATE_BITS`).
pub(crate) const HOW: u32 = EDGE | ONE_SHOT | EXCLUSIVE | WAKE_UP;

/// What a program wants to know of one descriptor, and what it was told.
#[derive(Debug, Clone)]
pub(crate) struct Trigger {
    interest: u32,
    /// Nothing was looked at since the registration, or its last change.
    fresh: bool,
    tail: u64,
    short_writes: u32,
    happened: Happened,
    /// There was no room when something else was an edge: from then on room is one.
    blocked: bool,
}

impl Trigger {
    /// For the events of `epoll_ctl`.
    pub(crate) const fn new(events: u32) -> Self {
        Self {
            interest: events | ALWAYS,
            fresh: true,
            tail: 0,
            short_writes: 0,
            happened: Happened::NOTHING,
            blocked: false,
        }
    }

    /// For nothing at all.
    pub(crate) const fn off() -> Self {
        Self { interest: 0, ..Self::new(0) }
    }

    /// What is of interest: the bits of `poll`.
    pub(crate) const fn interest(&self) -> u32 {
        self.interest & !HOW
    }

    pub(crate) const fn is_exclusive(&self) -> bool {
        self.interest & EXCLUSIVE != 0
    }

    /// Reported once, and not asked for since.
    pub(crate) const fn is_spent(&self) -> bool {
        self.interest & !HOW == 0
    }

    /// What would be reported, without noting it.
    pub(crate) fn peek(&self, now: &Now) -> u32 {
        if self.interest & EDGE != 0 && !self.is_edge(now) {
            return 0;
        }
        now.mask & self.interest()
    }

    /// What is to be reported; zero for nothing.
    pub(crate) fn judge(&mut self, now: &Now) -> u32 {
        let report = self.peek(now);
        if self.interest & EDGE != 0 {
            if self.is_edge(now) {
                self.remember(now);
            }
            self.happened = now.happened;
        }
        if report != 0 && self.interest & ONE_SHOT != 0 {
            self.interest &= HOW;
        }
        report
    }

    fn is_edge(&self, now: &Now) -> bool {
        // The kernel tells its callback what happened, and that looks whether anybody asked.
        let asked = self.interest & (IN | READ_NORMAL) != 0;
        let bytes = asked && now.tail != self.tail && !now.scant;
        let room = self.interest & now.mask & WRITES != 0;
        self.fresh
            || bytes
            || now.happened.has_news(self.happened)
            || (room && (self.blocked || now.short_writes != self.short_writes))
    }

    fn remember(&mut self, now: &Now) {
        let room = now.mask & WRITES != 0;
        self.fresh = false;
        if !now.scant {
            self.tail = now.tail;
        }
        self.blocked = self.interest & WRITES != 0 && !room;
        if room {
            self.short_writes = now.short_writes;
        }
    }
}

#[cfg(test)]
#[path = "trigger_tests.rs"]
mod tests;
