//! Streams of the C library on descriptors.

use core::ffi::{c_char, c_int, c_void};

use rustix::io::Errno;

use super::data::write;
use crate::stdio::{self, File};
use crate::{raw, table};

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fdopen(fd: c_int, mode: *const c_char) -> *mut File {
    if table::socket(fd).is_some() {
        // SAFETY: the caller's promise.
        let file = unsafe { stdio::open(fd, mode) };
        if !file.is_null() {
            // SAFETY: made a moment ago.
            unsafe { stdio::show_descriptor(file, fd) };
        }
        return file;
    }
    let Some(native) = stdio::native_fdopen() else {
        raw::fail(Errno::NOSYS);
        return core::ptr::null_mut();
    };
    // SAFETY: the caller's promise.
    unsafe { native(fd, mode) }
}

unsafe extern "C" {
    /// `va_list` is passed by its address on the platforms of this library.
    fn vasprintf(text: *mut *mut c_char, format: *const c_char, arguments: *mut c_void) -> c_int;
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn vdprintf(
    fd: c_int,
    format: *const c_char,
    arguments: *mut c_void,
) -> c_int {
    let mut text = core::ptr::null_mut();
    // SAFETY: the caller's promise.
    let len = unsafe { vasprintf(&raw mut text, format, arguments) };
    let Ok(whole) = usize::try_from(len) else { return -1 };
    let mut written = 0;
    while written < whole {
        // SAFETY: the text has `whole` bytes.
        match unsafe { write(fd, text.add(written).cast(), whole - written) } {
            now if now < 0 => break,
            now => written += now.unsigned_abs(),
        }
    }
    // SAFETY: `vasprintf` allocated it.
    unsafe { libc::free(text.cast()) };
    if written < whole { -1 } else { len }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __vdprintf_chk(
    fd: c_int,
    _level: c_int,
    format: *const c_char,
    arguments: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { vdprintf(fd, format, arguments) }
}

/// `dprintf` and `__dprintf_chk` take any number of arguments: they put their registers where a `va_list`
/// finds them (System V ABI for x86-64, section 3.5.7) and call the forms that take one.
#[cfg(target_arch = "x86_64")]
macro_rules! variadic {
    ($name:ident, $target:path, $fixed:literal, $list:literal) => {
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() -> c_int {
            core::arch::naked_asm!(
                "sub rsp, 0xd8",
                "mov [rsp + 0x20], rdi",
                "mov [rsp + 0x28], rsi",
                "mov [rsp + 0x30], rdx",
                "mov [rsp + 0x38], rcx",
                "mov [rsp + 0x40], r8",
                "mov [rsp + 0x48], r9",
                "test al, al",
                "je 2f",
                "movaps [rsp + 0x50], xmm0",
                "movaps [rsp + 0x60], xmm1",
                "movaps [rsp + 0x70], xmm2",
                "movaps [rsp + 0x80], xmm3",
                "movaps [rsp + 0x90], xmm4",
                "movaps [rsp + 0xa0], xmm5",
                "movaps [rsp + 0xb0], xmm6",
                "movaps [rsp + 0xc0], xmm7",
                "2:",
                concat!("mov dword ptr [rsp], ", $fixed),
                "mov dword ptr [rsp + 4], 48",
                "lea rax, [rsp + 0xe0]",
                "mov [rsp + 8], rax",
                "lea rax, [rsp + 0x20]",
                "mov [rsp + 0x10], rax",
                concat!("mov ", $list, ", rsp"),
                "call {target}",
                "add rsp, 0xd8",
                "ret",
                target = sym $target,
            )
        }
    };
}

#[cfg(target_arch = "x86_64")]
variadic!(dprintf, vdprintf, "16", "rdx");
#[cfg(target_arch = "x86_64")]
variadic!(__dprintf_chk, __vdprintf_chk, "24", "rcx");
