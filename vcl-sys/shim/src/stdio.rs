//! Streams of the C library on sessions.
//!
//! The C library reads and writes the descriptor of a `FILE` by itself, not by its own exported
//! functions, so what it got from a session's socket would be wake-up tokens. A `FILE` with functions of
//! its own (`fopencookie`) asks this library instead.

#![allow(unsafe_code)]
// Descriptors become cookies and back; streams are aligned for all that is in them.
#![allow(clippy::cast_sign_loss, clippy::cast_ptr_alignment)]

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::transmute;
use core::sync::atomic::{AtomicU8, Ordering};

use crate::exports::{data, descriptors};
use crate::weak;

/// A stream of the C library, which alone knows what is in it.
#[derive(Debug)]
#[repr(C)]
pub struct File {
    _bytes: [u8; 0],
}

type Read = unsafe extern "C" fn(*mut c_void, *mut c_char, usize) -> isize;
type Write = unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> isize;
type Seek = unsafe extern "C" fn(*mut c_void, *mut i64, c_int) -> c_int;
type Close = unsafe extern "C" fn(*mut c_void) -> c_int;

/// `cookie_io_functions_t`
#[repr(C)]
struct Functions {
    read: Option<Read>,
    write: Option<Write>,
    seek: Option<Seek>,
    close: Option<Close>,
}

unsafe extern "C" {
    fn fopencookie(cookie: *mut c_void, mode: *const c_char, functions: Functions) -> *mut File;
    fn fflush(file: *mut File) -> c_int;
    fn setvbuf(file: *mut File, buffer: *mut c_char, mode: c_int, size: usize) -> c_int;
}

/// The cookie is the descriptor.
fn descriptor(cookie: *mut c_void) -> c_int {
    c_int::try_from(cookie as usize).unwrap_or(-1)
}

unsafe extern "C" fn read(cookie: *mut c_void, buffer: *mut c_char, len: usize) -> isize {
    // SAFETY: the C library's promise.
    unsafe { data::read(descriptor(cookie), buffer.cast(), len) }
}

/// Writes all, as streams do on a blocking descriptor; zero says that it failed.
unsafe extern "C" fn write(cookie: *mut c_void, buffer: *const c_char, len: usize) -> isize {
    let mut written = 0;
    while written < len {
        // SAFETY: the C library's promise; `written` is inside.
        let now =
            unsafe { data::write(descriptor(cookie), buffer.add(written).cast(), len - written) };
        let Ok(now) = usize::try_from(now) else { break };
        written += now;
    }
    isize::try_from(written).unwrap_or(isize::MAX)
}

unsafe extern "C" fn close(cookie: *mut c_void) -> c_int {
    // SAFETY: the stream had the descriptor.
    unsafe { descriptors::close(descriptor(cookie)) }
}

/// A stream on a session; null and `errno` when there is no memory or the mode is wrong.
///
/// # Safety
/// `mode` is a C string.
pub(crate) unsafe fn open(fd: c_int, mode: *const c_char) -> *mut File {
    let functions =
        Functions { read: Some(read), write: Some(write), seek: None, close: Some(close) };
    // SAFETY: the functions are what `fopencookie` asks for.
    unsafe { fopencookie(fd as usize as *mut c_void, mode, functions) }
}

/// Where the C libraries keep a stream's descriptor, and what is there in a stream with functions of its
/// own: glibc (`struct _IO_FILE`, public since 1998), musl (`struct _IO_FILE` of `stdio_impl.h`).
const PLACES: [(usize, c_int); 2] = [(112, -2), (120, -1)];

/// Lets `fileno` answer the descriptor. A stream that does not look as expected stays as it is.
///
/// # Safety
/// `file` was made by [`open`].
pub(crate) unsafe fn show_descriptor(file: *mut File, fd: c_int) {
    let (offset, empty) = PLACES[usize::from(weak::gnu_get_libc_version().is_null())];
    // SAFETY: both libraries' streams are longer than this.
    unsafe {
        let place = file.cast::<u8>().add(offset).cast::<c_int>();
        if place.read() == empty {
            place.write(fd);
        }
    }
}

/// Standard streams that were replaced, as bits.
static REPLACED: AtomicU8 = AtomicU8::new(0);

/// A session took the place of descriptor 0, 1 or 2, and the program may use its standard stream. The
/// new stream serves whatever the descriptor becomes later, so it stays.
pub(crate) fn replace_standard(fd: c_int) {
    const UNBUFFERED: c_int = 2;
    const BY_LINE: c_int = 1;
    let (variable, mode) = match fd {
        0 => (weak::stdin(), c"r"),
        1 => (weak::stdout(), c"w"),
        2 => (weak::stderr(), c"w"),
        _ => return,
    };
    // musl's standard streams are constants.
    if weak::gnu_get_libc_version().is_null()
        || variable.is_null()
        || REPLACED.fetch_or(1 << fd, Ordering::Relaxed) & 1 << fd != 0
    {
        return;
    }
    let variable = variable.cast_mut().cast::<*mut File>();
    let by_line = weak::flbf();
    // SAFETY: in glibc these are variables of the program, of this type (libio/stdio.c), and
    // `__flbf` is as declared here.
    unsafe {
        let file = open(fd, mode.as_ptr());
        let old = variable.read();
        if file.is_null() || old.is_null() {
            return;
        }
        fflush(old);
        if fd == 2 {
            // Without a descriptor to show: `perror` would write to that by itself.
            setvbuf(file, core::ptr::null_mut(), UNBUFFERED, 0);
        } else {
            show_descriptor(file, fd);
        }
        if fd == 1 && !by_line.is_null() {
            type Flbf = unsafe extern "C" fn(*mut File) -> c_int;
            if transmute::<*const c_void, Flbf>(by_line)(old) != 0 {
                setvbuf(file, core::ptr::null_mut(), BY_LINE, 0);
            }
        }
        variable.write(file);
    }
}

type Fdopen = unsafe extern "C" fn(c_int, *const c_char) -> *mut File;

/// The C library's own `fdopen`.
pub(crate) fn native_fdopen() -> Option<Fdopen> {
    let mut address = weak::glibc_fdopen();
    let dlsym = weak::dlsym();
    if address.is_null() && !dlsym.is_null() {
        type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void;
        /// `RTLD_NEXT`: the definition after this library's.
        const NEXT: *mut c_void = usize::MAX as *mut c_void;
        let name: &CStr = c"fdopen";
        // SAFETY: the address is that of `dlsym`.
        address = unsafe { transmute::<*const c_void, Dlsym>(dlsym)(NEXT, name.as_ptr()) };
    }
    // SAFETY: the address is that of `fdopen`, or null, which is `None`.
    unsafe { transmute::<*const c_void, Option<Fdopen>>(address) }
}
