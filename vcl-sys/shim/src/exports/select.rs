//! `select`.

use core::ffi::{c_int, c_short};
use core::ptr;
use core::time::Duration;

use libc::{fd_set, pollfd, sigset_t, timespec, timeval};
use rustix::io::Errno;
use smallvec::SmallVec;

use crate::clock::{self, Limit};
use crate::poll::{Poll, concerns};
use crate::raw::{self, SignalMask};
use crate::readiness::{ERR, HUP, IN, NVAL, OUT, PRI, READ_NORMAL, WRITE_NORMAL};

const BITS: usize = usize::BITS as usize;

/// The three sets of a call. They may be longer than `FD_SETSIZE`: what counts is the number of
/// descriptors that the call names.
struct Sets {
    sets: [*mut usize; 3],
    count: usize,
}

/// What `poll` is asked for each set, and what puts a descriptor there (`fs/select.c`).
const ASKED: [u32; 3] = [IN, OUT, PRI];
const MEANS: [u32; 3] =
    [IN | READ_NORMAL | 0x80 | HUP | ERR, OUT | WRITE_NORMAL | 0x200 | ERR, PRI];

impl Sets {
    /// # Safety
    /// The sets are null, or as long as `count` descriptors need.
    unsafe fn new(count: c_int, sets: [*mut fd_set; 3]) -> Option<Self> {
        let count = usize::try_from(count).ok()?;
        Some(Self { sets: sets.map(<*mut fd_set>::cast), count })
    }

    fn words(&self) -> usize {
        self.count.div_ceil(BITS)
    }

    /// The word of each set, cut to the descriptors that count.
    fn word(&self, at: usize) -> [usize; 3] {
        let last = self.count - at * BITS;
        let mask = if last >= BITS { usize::MAX } else { (1 << last) - 1 };
        self.sets.map(|set| {
            if set.is_null() {
                return 0;
            }
            // SAFETY: `new`'s promise; the sets may be unaligned.
            unsafe { set.add(at).read_unaligned() & mask }
        })
    }

    /// Every descriptor that is in a set, with what `poll` is to be asked.
    fn each(&self) -> impl Iterator<Item = (c_int, u32)> {
        (0..self.words()).flat_map(move |at| {
            let words = self.word(at);
            let mut left = words[0] | words[1] | words[2];
            core::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.checked_sub(1)?;
                let asked = words.iter().zip(ASKED).filter(|(word, _)| *word >> bit & 1 != 0);
                let asked = asked.fold(0, |sum, (_, events)| sum | events);
                Some(((at * BITS) as c_int + bit as c_int, asked))
            })
        })
    }

    /// Leaves in the sets what `poll` found; answers how many bits that are.
    fn write(&self, fds: &[pollfd]) -> c_int {
        for set in self.sets.iter().filter(|set| !set.is_null()) {
            for at in 0..self.words() {
                // SAFETY: `new`'s promise.
                unsafe { set.add(at).write_unaligned(0) };
            }
        }
        let mut bits = 0;
        for entry in fds {
            let (at, bit) = (entry.fd as usize / BITS, entry.fd as usize % BITS);
            let (asked, found) = (entry.events as u32, entry.revents as u32);
            for (kind, set) in self.sets.iter().enumerate() {
                if asked & ASKED[kind] != 0 && found & MEANS[kind] != 0 {
                    // SAFETY: `new`'s promise; a bit is asked for in sets that are there only.
                    unsafe {
                        let word = set.add(at);
                        word.write_unaligned(word.read_unaligned() | 1 << bit);
                    }
                    bits += 1;
                }
            }
        }
        bits
    }

    fn run(&self, limit: Limit, mask: SignalMask) -> Result<c_int, Errno> {
        let mut fds: SmallVec<[pollfd; 32]> = self
            .each()
            .map(|(fd, events)| pollfd { fd, events: events as c_short, revents: 0 })
            .collect();
        Poll::new(&mut fds).wait(limit, mask)?;
        if fds.iter().any(|entry| entry.revents as u32 & NVAL != 0) {
            return Err(Errno::BADF);
        }
        Ok(self.write(&fds))
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn select(
    count: c_int,
    reads: *mut fd_set,
    writes: *mut fd_set,
    exceptions: *mut fd_set,
    timeout: *mut timeval,
) -> c_int {
    // SAFETY: the caller's promise.
    let sets = unsafe { Sets::new(count, [reads, writes, exceptions]) };
    let Some(sets) = sets.filter(|sets| concerns(sets.each().map(|(fd, _)| fd))) else {
        let arguments = [
            count as usize,
            reads as usize,
            writes as usize,
            exceptions as usize,
            timeout as usize,
            0,
        ];
        // SAFETY: the caller's promise.
        return (unsafe { raw::call(libc::SYS_select, arguments) }) as c_int;
    };
    // SAFETY: the caller's promise.
    let duration = match unsafe { timeout.as_ref() }.map(duration_of) {
        None => None,
        Some(Ok(duration)) => Some(duration),
        Some(Err(error)) => return raw::fail_int(error),
    };
    let limit = Limit::exactly(duration);
    let answer = sets.run(limit, SignalMask::NONE);
    if let (false, Some(deadline)) = (timeout.is_null(), limit.deadline) {
        // Linux tells how much time was left.
        let left = clock::left(Some(deadline)).unwrap_or_default();
        let left = timeval {
            tv_sec: left.as_secs().cast_signed(),
            tv_usec: i64::from(left.subsec_micros()),
        };
        // SAFETY: the caller's promise.
        unsafe { timeout.write(left) };
    }
    raw::answer_int(answer)
}

fn duration_of(time: &timeval) -> Result<Duration, Errno> {
    match (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec)) {
        (Ok(seconds), Ok(micros)) => {
            Ok(Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros)))
        }
        _ => Err(Errno::INVAL),
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pselect(
    count: c_int,
    reads: *mut fd_set,
    writes: *mut fd_set,
    exceptions: *mut fd_set,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    let mask = SignalMask::at(mask);
    // SAFETY: the caller's promise.
    let sets = unsafe { Sets::new(count, [reads, writes, exceptions]) };
    if let Some(sets) = sets.filter(|sets| concerns(sets.each().map(|(fd, _)| fd))) {
        // SAFETY: the caller's promise.
        let answer = unsafe { super::duration(timeout) }
            .and_then(|duration| sets.run(Limit::exactly(duration), mask));
        return raw::answer_int(answer);
    }
    // The kernel writes back what is left, which `pselect` does not tell.
    // SAFETY: the caller's promise.
    let mut left = unsafe { timeout.as_ref() }.copied();
    let left = left.as_mut().map_or(ptr::null_mut(), |left| &raw mut *left);
    let mask = [mask.address(), mask.bytes()];
    let arguments = [
        count as usize,
        reads as usize,
        writes as usize,
        exceptions as usize,
        left as usize,
        mask.as_ptr() as usize,
    ];
    // SAFETY: the caller's promise.
    (unsafe { raw::call(libc::SYS_pselect6, arguments) }) as c_int
}
