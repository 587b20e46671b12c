//! The cases, and how they are run.
//!
//! Each runs in a process of its own on either side, so that nothing of it is left for the next one:
//! no descriptor, no signal handler, no thread.

mod backlog;
mod closed_meanwhile;
mod connecting;
mod datagram_whole;
mod datagrams;
mod descriptors;
mod ending;
mod epoll;
mod epoll_life;
mod flags;
mod handing_over;
mod interrupts;
mod making;
mod masks;
mod moving;
mod options;
mod other_threads;
mod passing;
mod processes;
mod ready;
mod thread_signals;
mod threads;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::script::{Family, STRAY, Script};
use crate::sys::{self, Child, Fd, libc};

/// Longest time of a case.
const LIMIT: Duration = Duration::from_secs(20);

/// What each side does.
pub(crate) struct Case {
    /// Says what is tried.
    pub(crate) name: &'static str,
    /// With which addresses.
    pub(crate) families: &'static [Family],
    /// What side one does.
    pub(crate) one: fn(&mut Script),
    /// What side two does.
    pub(crate) two: fn(&mut Script),
}

/// Addresses for cases in which they may matter.
const EVERY_FAMILY: &[Family] = &[Family::V4, Family::V6, Family::Mapped];

impl Case {
    /// A case with IPv4 addresses.
    const fn new(name: &'static str, one: fn(&mut Script), two: fn(&mut Script)) -> Self {
        Self { name, families: &[Family::V4], one, two }
    }

    /// A case for all kinds of addresses.
    const fn all(name: &'static str, one: fn(&mut Script), two: fn(&mut Script)) -> Self {
        Self { name, families: EVERY_FAMILY, one, two }
    }
}

/// For the side that has nothing to do.
fn nothing(_: &mut Script) {}

/// Every case, in the order in which they run.
fn every() -> impl Iterator<Item = &'static Case> {
    let all = [
        making::CASES,
        connecting::CASES,
        backlog::CASES,
        moving::CASES,
        datagrams::CASES,
        datagram_whole::CASES,
        flags::CASES,
        ending::CASES,
        ready::CASES,
        epoll::CASES,
        epoll_life::CASES,
        options::CASES,
        descriptors::CASES,
        interrupts::CASES,
        masks::CASES,
        processes::CASES,
        handing_over::CASES,
        passing::CASES,
        threads::CASES,
        other_threads::CASES,
        closed_meanwhile::CASES,
        thread_signals::CASES,
    ];
    all.into_iter().flatten()
}

/// What a word starts with that leaves cases out.
const LEFT_OUT: char = '-';

/// Whether words choose the case `name`: those of them that it contains, or all if there are none, but for words with a
/// leading `-`.
fn is_chosen(name: &str, words: &[&str]) -> bool {
    let left_out = |word: &&str| word.strip_prefix(LEFT_OUT).is_some_and(|it| name.contains(it));
    let mut wanted = words.iter().filter(|word| !word.starts_with(LEFT_OUT)).peekable();
    (wanted.peek().is_none() || wanted.any(|it| name.contains(it))) && !words.iter().any(left_out)
}

/// Runs the cases that `words` choose: those whose names contain one of them, without those whose names contain one of
/// those with a leading `-`.
pub fn run(mut script: Script, words: &[&str]) {
    for case in every().filter(|case| is_chosen(case.name, words)) {
        for family in case.families {
            script.begin(&format!("{}/{}", case.name, family.name()), *family);
            let job = script.side(case.one, case.two);
            in_a_process(&mut script, job);
        }
    }
    script.finish();
}

fn in_a_process(script: &mut Script, job: fn(&mut Script)) {
    let Some(child) = sys::fork() else {
        sys::lead_a_group();
        sys::default_action(libc::SIGPIPE);
        // The test's own messages say what went wrong.
        let done = catch_unwind(AssertUnwindSafe(|| job(script)));
        sys::quit(if done.is_ok() { 0 } else { 101 });
    };
    match sys::wait_within(child, LIMIT) {
        Child::Exited(0) => {}
        Child::Exited(STRAY) => script.missed_the_end(),
        Child::Exited(101) => script.note("panicked"),
        other => script.note(&format!("ended: {other:?}")),
    }
    sys::kill_group(child);
}

/// What a case executes: a program that finds a listener, and serves so many connections.
pub fn serving(listener: Fd, count: usize, case: &str) {
    let script = Script::continued(case);
    for _ in 0..count {
        processes::serve(&script, crate::calls::fd(sys::accept4(listener, 0)));
    }
    script.close(listener);
}

/// What a case executes: a program that finds a socket.
pub fn inherited(fd: Fd, case: &str) {
    let script = Script::continued(case);
    script.recv(fd, 16, 0);
    script.send(fd, b"from exec", 0);
    script.close(fd);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_choose_cases_and_leave_some_out() {
        assert!(is_chosen("connect_refused", &[]));
        assert!(is_chosen("connect_refused", &["listen", "refused"]));
        assert!(!is_chosen("connect_refused", &["listen"]));
        assert!(!is_chosen("connect_refused", &["-refused"]));
        assert!(is_chosen("connect", &["-refused"]));
        assert!(!is_chosen("connect_refused", &["connect", "-refused"]));
    }
}
