//! The kernel's calls with the conventions of the C library: -1 and `errno`.

#![allow(unsafe_code)]

use core::ffi::{c_int, c_long};
use core::fmt::Write;

use rustix::io::Errno;

/// A system call as the C library would make it, with `errno` set on failure.
///
/// # Safety
/// As for the call itself; every argument is passed as it is.
pub(crate) unsafe fn call(number: c_long, arguments: [usize; 6]) -> isize {
    #[allow(clippy::many_single_char_names)]
    let [first, second, third, fourth, fifth, sixth] = arguments;
    // SAFETY: the caller's promise; unused arguments are ignored by the kernel.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) };
    #[allow(clippy::cast_possible_truncation, reason = "the same size where this library runs")]
    let result = result as isize;
    result
}

/// A number as an argument of a system call.
#[allow(clippy::cast_sign_loss)]
pub(crate) const fn number(value: c_int) -> usize {
    value as usize
}

/// As [`call`], with the error as a value.
///
/// # Safety
/// As for [`call`].
pub(crate) unsafe fn kernel(number: c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    let result = unsafe { call(number, arguments) };
    // SAFETY: as in `fail`.
    usize::try_from(result)
        .map_err(|_| Errno::from_raw_os_error(unsafe { *libc::__errno_location() }))
}

/// A signal mask that the program gave to a call, for the kernel to have during its sleep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignalMask(usize);

impl SignalMask {
    /// The mask of the thread stays.
    pub(crate) const NONE: Self = Self(0);

    /// The mask at this address; null for none.
    pub(crate) fn at(address: *const libc::sigset_t) -> Self {
        Self(address as usize)
    }

    pub(crate) const fn address(self) -> usize {
        self.0
    }

    /// What the kernel wants to hear as its size: `_NSIG / 8`.
    #[allow(clippy::unused_self)]
    pub(crate) const fn bytes(self) -> usize {
        8
    }
}

/// `ppoll`; a timeout of `None` waits for ever.
pub(crate) fn ppoll(
    fds: &mut [libc::pollfd],
    timeout: Option<core::time::Duration>,
    mask: SignalMask,
) -> Result<usize, Errno> {
    let time = timeout.map(timespec);
    let time = time.as_ref().map_or(0, |time| (&raw const *time) as usize);
    let arguments = [fds.as_mut_ptr() as usize, fds.len(), time, mask.address(), mask.bytes(), 0];
    // SAFETY: the descriptors are ours to write to; the mask is the program's, and the kernel refuses
    // one that is not there.
    unsafe { kernel(libc::SYS_ppoll, arguments) }
}

/// A time as the kernel takes it.
pub(crate) fn timespec(duration: core::time::Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: c_long::from(duration.subsec_nanos().cast_signed()),
    }
}

/// `errno` is `error` and the result -1.
pub(crate) fn fail(error: Errno) -> isize {
    // SAFETY: every C library has this function, and it answers a valid address for each thread.
    unsafe { *libc::__errno_location() = error.raw_os_error() };
    -1
}

/// As [`fail`], for calls that answer an `int`.
pub(crate) fn fail_int(error: Errno) -> c_int {
    fail(error);
    -1
}

/// The value or -1 and `errno`.
pub(crate) fn answer(result: Result<usize, Errno>) -> isize {
    result.map_or_else(fail, |value| isize::try_from(value).unwrap_or(isize::MAX))
}

/// As [`answer`], for calls that answer zero or a descriptor.
pub(crate) fn answer_int(result: Result<c_int, Errno>) -> c_int {
    result.unwrap_or_else(fail_int)
}

/// Sends `SIGPIPE` to the calling thread, as the kernel does for a write to a closed socket.
pub(crate) fn raise_sigpipe() {
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: a signal to the calling thread itself.
    unsafe {
        libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGPIPE);
    }
}

/// Ends the process whose buffer is shorter than it says, as the checks of the C library do.
pub(crate) fn overflow() -> ! {
    let mut text = Line::new();
    let _ = writeln!(text, "*** buffer overflow detected ***: terminated");
    text.show();
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

/// Ends the process after a panic, which is a bug of this library.
#[cfg(preload)]
pub(crate) fn die(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut text = Line::new();
    let _ = writeln!(text, "dockervpp shim: {info}");
    text.show();
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

/// A line of text that needs no allocator.
pub(crate) struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; 512], len: 0 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Writes it to the standard error stream.
    pub(crate) fn show(&self) {
        // SAFETY: borrowing the descriptor for one call; if it is closed the call fails.
        let stderr = unsafe { rustix::fd::BorrowedFd::borrow_raw(2) };
        let _ = rustix::io::write(stderr, &self.bytes[..self.len]);
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.len() - self.len;
        let taken = text.len().min(room);
        self.bytes[self.len..self.len + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
        Ok(())
    }
}

/// Borrows a descriptor number that the program gave us.
pub(crate) fn borrow(fd: c_int) -> rustix::fd::BorrowedFd<'static> {
    // SAFETY: the number is only handed to the kernel, which refuses one that is not open; nothing
    // here relies on it staying open. -1 is the one value that the type excludes.
    unsafe { rustix::fd::BorrowedFd::borrow_raw(if fd == -1 { c_int::MAX } else { fd }) }
}
