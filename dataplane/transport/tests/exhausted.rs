//! Published ports while the agent has no descriptors left. In a program of its own, whose limit it changes.

mod door;
#[path = "../../stack/tests/lab/mod.rs"]
mod lab;
#[path = "../../session/tests/support/mod.rs"]
mod support;

use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use door::site;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use session::broker::Limits;
use session::layout::RingSize;
use support::eventually;

/// More than the highest descriptor of the program.
const SOME: i32 = 500;

/// Takes the lowest descriptor that is free.
fn take(of: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    fcntl_dupfd_cloexec(of, 0)
}

#[test]
fn connections_wait_while_no_session_can_be_made() {
    let site = site(RingSize::DEFAULT, Limits::default());
    let listening = site.listens(16);
    let any = OwnedFd::from(std::fs::File::open("/dev/null").expect("it is there"));
    let mut taken = Vec::new();
    while taken.last().is_none_or(|last: &OwnedFd| last.as_raw_fd() < SOME) {
        taken.push(take(&any).expect("there are enough"));
    }
    let before = getrlimit(Resource::Nofile);
    // Two more: the client's, and the one that is accepted. A session needs more.
    let next = u64::try_from(SOME).expect("positive") + 3;
    setrlimit(Resource::Nofile, Rlimit { current: Some(next), ..before }).expect("it is less");
    let mut client = site.connects();
    eventually("the connection is accepted", || take(&any).is_err());
    // It is tried in vain, and more than once.
    std::thread::sleep(Duration::from_millis(300));
    setrlimit(Resource::Nofile, before).expect("as it was");
    let end = listening.accept();
    client.write_all(b"patience").expect("it is open");
    assert_eq!(end.read(8), b"patience");
}
