//! The rules, and Linux as the model that they must agree with.

use proptest::prelude::*;

use super::*;
use crate::readiness::{ERR, HUP, IN, OUT, READ_HANG_UP, READ_NORMAL, WRITE_NORMAL};

fn now(mask: u32, tail: u64) -> Now {
    Now { mask, tail, happened: Happened::ESTABLISHED, ..Now::default() }
}

#[test]
fn a_level_is_reported_as_long_as_it_lasts() {
    let mut level = Trigger::new(IN);
    assert_eq!(level.judge(&now(0, 0)), 0);
    assert_eq!(level.judge(&now(IN | OUT, 5)), IN);
    assert_eq!(level.judge(&now(IN | OUT, 5)), IN);
    assert_eq!(level.judge(&now(OUT | HUP | ERR, 5)), HUP | ERR);
}

#[test]
fn an_edge_is_reported_once_with_all_that_is_ready() {
    let mut edge = Trigger::new(IN | OUT | EDGE);
    assert_eq!(edge.judge(&now(OUT, 0)), OUT, "the state at the registration counts");
    assert_eq!(edge.judge(&now(OUT, 0)), 0);
    assert_eq!(edge.judge(&now(IN | OUT, 5)), IN | OUT);
    assert_eq!(edge.judge(&now(IN | OUT, 5)), 0);
    assert_eq!(edge.judge(&now(IN | OUT, 6)), IN | OUT, "more bytes, though some waited");
}

#[test]
fn room_is_an_edge_after_a_write_found_none() {
    let mut edge = Trigger::new(OUT | EDGE);
    assert_eq!(edge.judge(&now(OUT, 0)), OUT);
    assert_eq!(edge.judge(&now(OUT, 9)), 0, "bytes are no news for who only writes");
    let short = |mask| Now { short_writes: 1, ..now(mask, 9) };
    assert_eq!(edge.judge(&short(0)), 0);
    assert_eq!(edge.judge(&short(OUT)), OUT);
    assert_eq!(edge.judge(&short(OUT)), 0);
    let again = |mask| Now { short_writes: 2, ..now(mask, 9) };
    assert_eq!(edge.judge(&again(OUT)), OUT, "filled and emptied since the last look");
}

#[test]
fn too_few_bytes_are_an_edge_only_with_the_rest() {
    let mut edge = Trigger::new(IN | OUT | EDGE);
    assert_eq!(edge.judge(&now(OUT, 0)), OUT);
    let scant = |tail| Now { scant: true, ..now(OUT, tail) };
    assert_eq!(edge.judge(&scant(2)), 0, "TCP does not even tell its callback");
    let short = Now { short_writes: 1, ..scant(3) };
    assert_eq!(edge.judge(&short), OUT);
    assert_eq!(edge.judge(&Now { scant: false, mask: IN | OUT, ..short }), IN | OUT);
    assert_eq!(edge.judge(&Now { scant: false, mask: IN | OUT, ..short }), 0);
}

#[test]
fn a_single_shot_is_over_until_it_is_asked_for_again() {
    let mut once = Trigger::new(IN | ONE_SHOT);
    assert_eq!(once.judge(&now(IN, 1)), IN);
    assert!(once.is_spent());
    assert_eq!(once.judge(&now(IN | HUP, 2)), 0, "not even a hang-up");
    assert_eq!(Trigger::new(IN | ONE_SHOT).judge(&now(IN, 2)), IN);
}

#[test]
fn an_end_is_an_edge_for_every_interest() {
    let mut edge = Trigger::new(OUT | EDGE);
    assert_eq!(edge.judge(&now(OUT, 0)), OUT);
    let ended = Happened::ESTABLISHED.and(Happened::PEER_ENDED, true);
    let end = Now { happened: ended, ..now(OUT | IN, 0) };
    assert_eq!(edge.judge(&end), OUT);
    assert_eq!(edge.judge(&end), 0);
}

/// What Linux does with a TCP socket in an epoll, as in `fs/eventpoll.c` and `net/ipv4/tcp.c`: callbacks
/// put the registration on a list, and a wait looks at what is on it.
struct Kernel {
    interest: u32,
    listed: bool,
    /// It is on the list for room alone. Should that be gone again at the wait, Linux still reports
    /// whatever else is ready; it is no news, and cannot be seen from outside the kernel.
    for_room: bool,
    /// `SOCK_NOSPACE`: a write, or a look, found no room.
    wants_room: bool,
    unread: u64,
    room: u64,
    arrived: u64,
    short_writes: u32,
    happened: Happened,
}

impl Kernel {
    fn new() -> Self {
        Self {
            interest: 0,
            listed: false,
            for_room: false,
            wants_room: false,
            unread: 0,
            room: 4,
            arrived: 0,
            short_writes: 0,
            happened: Happened::ESTABLISHED,
        }
    }

    fn mask(&self) -> u32 {
        let ended = self.happened.has_news(Happened::ESTABLISHED.and(Happened::WRITE_ENDED, true));
        let reads = if self.unread > 0 || ended { IN | READ_NORMAL } else { 0 };
        let write_ended = Happened::WRITE_ENDED;
        let closed = !write_ended.has_news(self.happened);
        let writes = if self.room > 0 || closed { OUT | WRITE_NORMAL } else { 0 };
        let hang_up = if ended && closed { HUP } else { 0 };
        reads | writes | hang_up | if ended { READ_HANG_UP } else { 0 }
    }

    fn poll(&mut self) -> u32 {
        self.wants_room |= self.mask() & OUT == 0;
        self.mask() & self.interest & !HOW
    }

    fn call_back(&mut self, key: u32) {
        let asked = self.interest & !HOW;
        if asked != 0 && (key == 0 || key & asked != 0) {
            self.for_room = key & OUT != 0 && (self.for_room || !self.listed);
            self.listed = true;
        }
    }

    fn control(&mut self, events: u32) {
        self.interest = events | ALWAYS;
        if self.poll() != 0 {
            (self.listed, self.for_room) = (true, false);
        }
    }

    fn wait(&mut self) -> u32 {
        if !self.listed {
            return 0;
        }
        self.listed = false;
        let report = self.poll();
        if core::mem::take(&mut self.for_room) && report & OUT == 0 {
            return 0;
        }
        if report != 0 {
            if self.interest & ONE_SHOT != 0 {
                self.interest &= HOW;
            } else if self.interest & EDGE == 0 {
                self.listed = true;
            }
        }
        report
    }

    fn step(&mut self, step: &Step) {
        match *step {
            // Nothing comes after the end.
            Step::Arrive(_) if !Happened::PEER_ENDED.has_news(self.happened) => {}
            Step::Arrive(bytes) => {
                self.unread += bytes;
                self.arrived += bytes;
                self.call_back(IN | READ_NORMAL);
            }
            Step::Read(bytes) => self.unread = self.unread.saturating_sub(bytes),
            // That is `EPIPE`.
            Step::Write(_) if !Happened::WRITE_ENDED.has_news(self.happened) => {}
            Step::Write(bytes) => {
                if bytes > self.room {
                    self.short_writes += 1;
                    self.wants_room = true;
                }
                self.room = self.room.saturating_sub(bytes);
            }
            Step::Drain(bytes) => {
                self.room = (self.room + bytes).min(4);
                // After the own end Linux reports room once more; nobody can use it.
                let ended = !Happened::WRITE_ENDED.has_news(self.happened);
                if !ended && self.room > 0 && core::mem::take(&mut self.wants_room) {
                    self.call_back(OUT | WRITE_NORMAL);
                }
            }
            Step::Happen(what) if what.has_news(self.happened) => {
                self.happened = self.happened.and(what, true);
                self.call_back(0);
            }
            Step::Happen(_) | Step::Control(_) | Step::Wait => {}
        }
    }

    fn now(&self) -> Now {
        Now {
            mask: self.mask(),
            tail: self.arrived,
            short_writes: self.short_writes,
            scant: false,
            happened: self.happened,
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Arrive(u64),
    Read(u64),
    Write(u64),
    Drain(u64),
    Happen(Happened),
    Control(u32),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        Just(Happened::PEER_ENDED),
        Just(Happened::READ_ENDED),
        Just(Happened::WRITE_ENDED),
    ];
    let what_to_report = (0u32..8).prop_map(|bits| {
        let pick = |bit: u32, events| if bits >> bit & 1 != 0 { events } else { 0 };
        pick(0, IN) | pick(1, OUT) | pick(2, READ_HANG_UP)
    });
    let how = prop_oneof![Just(0), Just(EDGE), Just(ONE_SHOT), Just(EDGE | ONE_SHOT)];
    prop_oneof![
        4 => (1u64..4).prop_map(Step::Arrive),
        4 => (1u64..6).prop_map(Step::Read),
        4 => (1u64..6).prop_map(Step::Write),
        4 => (1u64..6).prop_map(Step::Drain),
        1 => what.prop_map(Step::Happen),
        2 => (what_to_report, how).prop_map(|(what, how)| Step::Control(what | how)),
        8 => Just(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 1000,
        ..ProptestConfig::default()
    })]

    /// Whatever happens between waits, each reports what Linux would.
    #[test]
    fn every_wait_reports_what_the_kernel_would(
        first in (0u32..8, 0u32..4),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut kernel = Kernel::new();
        let events = first.0 | if first.1 & 1 != 0 { EDGE } else { 0 }
            | if first.1 & 2 != 0 { ONE_SHOT } else { 0 };
        kernel.control(events);
        let mut trigger = Trigger::new(events);
        for step in &steps {
            match *step {
                Step::Control(events) => {
                    kernel.control(events);
                    trigger = Trigger::new(events);
                }
                Step::Wait => prop_assert_eq!(trigger.judge(&kernel.now()), kernel.wait()),
                _ => kernel.step(step),
            }
        }
    }
}
