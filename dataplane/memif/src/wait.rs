//! Sleeping until there is something to do, for programs without an event loop of their own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::queue::{Armed, RxQueue};

/// VPP, DPDK and gomemif publish frames and look at the interrupt mask without a fence between, so
/// the first frame after [`RxQueue::arm`] may come without an interrupt. This much later it is
/// visible for sure.
const FIRST_SLEEP: Duration = Duration::from_millis(1);

/// Sleeps until a frame waits in one of `queues`, the link ends, or `patience` is over (`None`: for
/// ever). What it was, the next [`RxQueue::batch`] says. While it sleeps the peer sends interrupts;
/// afterwards the queues poll again.
///
/// # Errors
///
/// What poll(2) answers.
pub fn wait_for_frames(queues: &mut [RxQueue], patience: Option<Duration>) -> io::Result<()> {
    let end = patience.map(|patience| Instant::now() + patience);
    let mut must_not_sleep = false;
    for queue in &mut *queues {
        // A queue that is down has something to tell, too.
        must_not_sleep |= !matches!(queue.arm(), Ok(Armed::Sleep));
    }
    let left = |end: Instant| end.saturating_duration_since(Instant::now());
    let mut outcome = Ok(());
    if !must_not_sleep {
        let first = end.map_or(FIRST_SLEEP, |end| left(end).min(FIRST_SLEEP));
        let woken = wait_readable(&descriptors(queues), Some(first));
        outcome = match woken {
            Ok(false) if !queues.iter().any(RxQueue::has_frames) => {
                wait_readable(&descriptors(queues), end.map(left)).map(drop)
            }
            other => other.map(drop),
        };
    }
    for queue in queues {
        queue.disarm();
        outcome = outcome.and(queue.clear_interrupt());
    }
    outcome
}

/// Sleeps until one of `descriptors` is readable or `patience` is over (`None`: for ever); whether
/// one is. A signal counts as nothing readable.
///
/// # Errors
///
/// What poll(2) answers.
pub fn wait_readable(
    descriptors: &[BorrowedFd<'_>],
    patience: Option<Duration>,
) -> io::Result<bool> {
    let timeout = patience.map(Timespec::try_from).transpose();
    let timeout = timeout.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut polled: Vec<_> =
        descriptors.iter().map(|descriptor| PollFd::new(descriptor, PollFlags::IN)).collect();
    match poll(&mut polled, timeout.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn descriptors(queues: &[RxQueue]) -> Vec<BorrowedFd<'_>> {
    queues.iter().map(AsFd::as_fd).collect()
}
