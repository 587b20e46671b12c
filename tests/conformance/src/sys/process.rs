//! Processes and signals.

use std::ffi::CString;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libc::{c_int, pid_t};

use super::{Fd, answer};

/// Signals that came, by number.
static CAUGHT: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];

extern "C" fn count(signal: c_int) {
    if let Some(counter) = usize::try_from(signal).ok().and_then(|it| CAUGHT.get(it)) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn handle(signal: c_int, handler: usize, flags: c_int) {
    // SAFETY: all zero bytes are a valid `sigaction` with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the handler only adds to an atomic counter, which a signal handler may.
    answer(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })
        .expect("the signal can be handled");
}

/// Counts a signal from now on; interrupted calls are restarted or not.
pub fn catch(signal: c_int, restart: bool) {
    let handler: extern "C" fn(c_int) = count;
    handle(signal, handler as usize, if restart { libc::SA_RESTART } else { 0 });
}

/// Counts the next signal; its handler, which does not restart calls, takes itself away when it runs.
pub fn catch_once(signal: c_int) {
    let handler: extern "C" fn(c_int) = count;
    handle(signal, handler as usize, libc::SA_RESETHAND);
}

/// Ignores a signal from now on.
pub fn ignore(signal: c_int) {
    handle(signal, libc::SIG_IGN, 0);
}

/// The usual action for a signal from now on; programs in Rust start with some ignored.
pub fn default_action(signal: c_int) {
    handle(signal, libc::SIG_DFL, 0);
}

/// How often a signal came.
pub fn caught(signal: c_int) -> u32 {
    usize::try_from(signal).map_or(0, |it| CAUGHT[it].load(Ordering::Relaxed))
}

/// Blocks a signal in the calling thread, or no longer.
pub fn block(signal: c_int, blocked: bool) {
    let how = if blocked { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    let set = signal_set(&[signal]);
    // SAFETY: one set.
    let error = unsafe { libc::pthread_sigmask(how, &raw const set, ptr::null_mut()) };
    assert_eq!(error, 0, "signals can be blocked");
}

/// Whether a blocked signal waits for the calling thread, or for the process.
pub fn is_pending(signal: c_int) -> bool {
    let mut set = signal_set(&[]);
    // SAFETY: one set, and then a signal that there is.
    unsafe { libc::sigpending(&raw mut set) == 0 && libc::sigismember(&raw const set, signal) == 1 }
}

/// A set of these signals.
pub(super) fn signal_set(signals: &[c_int]) -> libc::sigset_t {
    // SAFETY: all zero bytes are a set, which is emptied before its use.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: one set, and signals that there are.
    unsafe {
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
    }
    set
}

/// The calling thread, as the kernel numbers them.
pub fn thread_id() -> pid_t {
    // SAFETY: takes nothing.
    unsafe { libc::gettid() }
}

/// A signal to one thread of the own process.
pub fn signal_thread(thread: pid_t, signal: c_int) {
    // SAFETY: numbers only.
    answer(unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) })
        .expect("the thread lives");
}

/// What a thread does, as the kernel's letter: `S` sleeps, `T` was stopped.
fn state(thread: pid_t) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Whether a thread sleeps, and not only for a moment.
pub fn is_asleep(thread: pid_t) -> bool {
    (0..5).all(|_| {
        thread::sleep(Duration::from_millis(1));
        state(thread) == Some('S')
    })
}

/// Whether a process was stopped.
pub fn is_stopped(process: pid_t) -> bool {
    state(process) == Some('T')
}

/// `SIGALRM` after so many milliseconds, and again every so many if asked.
pub fn alarm_after(milliseconds: i64, again: bool) {
    let time = |ms: i64| libc::timeval { tv_sec: ms / 1000, tv_usec: ms % 1000 * 1000 };
    let value = libc::itimerval {
        it_interval: time(if again { milliseconds } else { 0 }),
        it_value: time(milliseconds),
    };
    // SAFETY: one value.
    answer(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const value, ptr::null_mut()) })
        .expect("timers can be set");
}

/// Sleeps; for moments in which something must not happen.
pub fn sleep_ms(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// With this status.
    Exited(c_int),
    /// By this signal.
    Killed(c_int),
}

/// `fork`: `None` in the child.
pub fn fork() -> Option<pid_t> {
    // SAFETY: the programs of this crate fork while they have one thread; where they have more, the
    // child makes system calls only.
    let pid = unsafe { libc::fork() };
    answer(pid).expect("processes can be made");
    (pid != 0).then_some(pid)
}

fn ended(status: c_int) -> Child {
    if libc::WIFSIGNALED(status) {
        Child::Killed(libc::WTERMSIG(status))
    } else {
        Child::Exited(libc::WEXITSTATUS(status))
    }
}

/// Waits for a child's end.
pub fn wait_for(pid: pid_t) -> Child {
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        match answer(unsafe { libc::waitpid(pid, &raw mut status, 0) }) {
            Ok(_) => return ended(status),
            Err(libc::EINTR) => {}
            Err(error) => panic!("waitpid: errno {error}"),
        }
    }
}

/// Waits for a child's end; kills it when that does not come in time.
pub fn wait_within(pid: pid_t, limit: Duration) -> Child {
    let deadline = Instant::now() + limit;
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        if answer(unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) }) != Ok(0) {
            return ended(status);
        }
        if Instant::now() >= deadline {
            kill(pid, libc::SIGKILL);
            return wait_for(pid);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// `kill`.
pub fn kill(pid: pid_t, signal: c_int) {
    // SAFETY: numbers only.
    unsafe { libc::kill(pid, signal) };
}

/// Makes the process the first of a group of its own.
pub fn lead_a_group() {
    // SAFETY: numbers only.
    unsafe { libc::setpgid(0, 0) };
}

/// Ends what is left of the group that `leader` made.
pub fn kill_group(leader: pid_t) {
    // SAFETY: numbers only.
    unsafe { libc::kill(-leader, libc::SIGKILL) };
}

/// A signal to the own process.
pub fn signal_own(signal: c_int) {
    // SAFETY: numbers only.
    unsafe { libc::kill(libc::getpid(), signal) };
}

/// Runs this program with other arguments and `fd`, which is closed here, as its standard input.
pub fn spawn_on(fd: Fd, arguments: &[&str]) -> Child {
    let path = std::env::current_exe().expect("a program knows its file");
    // SAFETY: the descriptor is no other Rust object's.
    let input = unsafe { OwnedFd::from_raw_fd(fd) };
    let status = Command::new(path).args(arguments).stdin(input).status();
    let status = status.expect("programs can be started");
    status.code().map_or_else(|| Child::Killed(status.signal().unwrap_or(0)), Child::Exited)
}

/// Ends the process at once.
pub fn quit(status: c_int) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// `execv` of this program with other arguments, in the same environment.
pub fn execute(arguments: &[&str]) -> ! {
    let path = std::env::current_exe().expect("a program knows its file");
    let text = |it: &str| CString::new(it).expect("no zero bytes");
    let path = text(&path.to_string_lossy());
    let mut all = vec![path.clone()];
    all.extend(arguments.iter().map(|it| text(it)));
    let mut pointers: Vec<_> = all.iter().map(|it| it.as_ptr()).collect();
    pointers.push(ptr::null());
    // SAFETY: a path, and texts with a null pointer at the end.
    unsafe { libc::execv(path.as_ptr(), pointers.as_ptr()) };
    quit(127)
}
