//! What happens when the library comes into a process, and what its environment says.

#![allow(unsafe_code)]

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::log::{self, Level};
use crate::resume;
use crate::socket::Link;
use crate::table::{self, Object};

/// `off` leaves every socket to the kernel.
const SWITCH: &[u8] = b"DOCKERVPP_SHIM";
/// `stderr`, or the path of a file that lines are appended to.
const LOG: &[u8] = b"DOCKERVPP_SHIM_LOG";
/// `warn`, `info` (the default) or `debug`.
const LOG_LEVEL: &[u8] = b"DOCKERVPP_SHIM_LOG_LEVEL";

static OFF: AtomicBool = AtomicBool::new(false);

/// Whether sockets may become sessions.
#[inline]
pub(crate) fn is_on() -> bool {
    !OFF.load(Ordering::Relaxed)
}

/// A program ends: peers that only write need not find out by a full ring.
#[cfg(preload)]
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

#[cfg_attr(not(preload), allow(dead_code))]
extern "C" fn end() {
    for fd in table::known(0, c_int::MAX) {
        match table::known_object(fd) {
            Some(Object::Socket(socket)) => {
                if let Some(session) = socket.link().and_then(Link::session) {
                    session.stream().leave();
                }
            }
            Some(Object::Datagram(socket)) => socket.leave(),
            _ => {}
        }
    }
}

type Strings = *const *const c_char;

#[cfg(preload)]
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn(c_int, Strings, Strings) = start;

/// Runs before `main`. glibc hands over the environment, musl has set up its own by then.
#[cfg_attr(not(preload), allow(dead_code))]
extern "C" fn start(_: c_int, _: Strings, given: Strings) {
    unsafe extern "C" {
        static environ: Strings;
    }
    // SAFETY: every C library has the variable; it is read once, before the program runs.
    let own = unsafe { environ };
    let environment = Environment(if own.is_null() { given } else { own });
    if environment.get(SWITCH).is_some_and(|it| it.to_bytes() == b"off") {
        OFF.store(true, Ordering::Relaxed);
    }
    if let Some(target) = environment.get(LOG) {
        let level = match environment.get(LOG_LEVEL).map(CStr::to_bytes) {
            Some(b"off") => Level::Off,
            Some(b"warn") => Level::Warn,
            Some(b"debug") => Level::Debug,
            _ => Level::Info,
        };
        log::start(level, (target.to_bytes() != b"stderr").then_some(target));
    }
    // Sessions of other processes are served whatever the switch says: their bytes are nowhere else.
    resume::note_all();
}

struct Environment(Strings);

impl Environment {
    fn get(&self, name: &[u8]) -> Option<&'static CStr> {
        let mut at = self.0;
        if at.is_null() {
            return None;
        }
        // SAFETY: the environment is an array of C strings that ends with null, and its strings stay:
        // `setenv` replaces the pointers.
        unsafe {
            while !(*at).is_null() {
                let entry = CStr::from_ptr(*at);
                if let Some(rest) = entry.to_bytes().strip_prefix(name)
                    && rest.first() == Some(&b'=')
                {
                    return Some(CStr::from_ptr((*at).add(name.len() + 1)));
                }
                at = at.add(1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_searched_for_whole_names() {
        let entries = [c"DOCKERVPP_SHIM_LOG=x", c"A=b=c", c"DOCKERVPP_SHIM=off", c"EMPTY="];
        let mut pointers = entries.map(CStr::as_ptr).to_vec();
        pointers.push(core::ptr::null());
        let environment = Environment(pointers.as_ptr());
        assert_eq!(environment.get(SWITCH), Some(c"off"));
        assert_eq!(environment.get(LOG), Some(c"x"));
        assert_eq!(environment.get(b"A"), Some(c"b=c"));
        assert_eq!(environment.get(b"EMPTY"), Some(c""));
        assert_eq!(environment.get(LOG_LEVEL), None);
        assert_eq!(Environment(core::ptr::null()).get(SWITCH), None);
    }
}
