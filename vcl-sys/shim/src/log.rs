//! What this library decided, for people who wonder why: off unless asked for, and never on a path that
//! moves bytes.

#![allow(unsafe_code)]

use core::fmt::Write;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use rustix::fs::{Mode, OFlags};

use crate::raw::Line;

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    /// Nothing.
    Off = 0,
    /// What was refused or lost.
    Warn = 1,
    /// What became a session, and what did not.
    Info = 2,
    /// Everything that was considered.
    Debug = 3,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Off as u8);

/// The path to append to, a C string of the program's environment; null means the standard error stream.
static PATH: AtomicPtr<core::ffi::c_char> = AtomicPtr::new(core::ptr::null_mut());

/// Starts writing lines up to `level`; `path` stays readable for ever.
pub(crate) fn start(level: Level, path: Option<&'static core::ffi::CStr>) {
    let path = path.map_or(core::ptr::null(), core::ffi::CStr::as_ptr);
    PATH.store(path.cast_mut(), Ordering::Relaxed);
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether lines of a level are written.
#[inline]
pub(crate) fn wants(level: Level) -> bool {
    LEVEL.load(Ordering::Relaxed) >= level as u8
}

/// Writes one line. A file is opened for each: a descriptor that stays open would be one that programs
/// stumble over.
#[cold]
pub(crate) fn write(text: core::fmt::Arguments<'_>) {
    let mut line = Line::new();
    let process = rustix::process::getpid().as_raw_nonzero();
    let _ = writeln!(line, "dockervpp shim [{process}]: {text}");
    let path = PATH.load(Ordering::Relaxed);
    if path.is_null() {
        return line.show();
    }
    // SAFETY: `start` was given a C string that stays readable.
    let path = unsafe { core::ffi::CStr::from_ptr(path) };
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644)) {
        let _ = rustix::io::write(file, line.as_bytes());
    }
}

/// A line about something that became of a socket.
macro_rules! decision {
    ($($text:tt)*) => {
        if $crate::log::wants($crate::log::Level::Info) {
            $crate::log::write(format_args!($($text)*));
        }
    };
}

/// A line about something that was considered and is the kernel's.
macro_rules! detail {
    ($($text:tt)*) => {
        if $crate::log::wants($crate::log::Level::Debug) {
            $crate::log::write(format_args!($($text)*));
        }
    };
}

/// A line about something that went wrong.
macro_rules! warning {
    ($($text:tt)*) => {
        if $crate::log::wants($crate::log::Level::Warn) {
            $crate::log::write(format_args!($($text)*));
        }
    };
}

pub(crate) use {decision, detail, warning};
