//! Functions that only some C libraries have.

#![allow(unsafe_code)]

/// Defines a function that answers the address of a symbol of the program, null when there is none.
macro_rules! weak {
    ($(#[$doc:meta])* $name:ident = $symbol:literal) => {
        $(#[$doc])*
        pub(crate) fn $name() -> *const core::ffi::c_void {
            let address: *const core::ffi::c_void;
            // SAFETY: reads one word of this library's own offset table, which the loader has filled.
            unsafe {
                #[cfg(target_arch = "x86_64")]
                core::arch::asm!(
                    concat!(".weak ", $symbol),
                    concat!("mov {}, qword ptr [rip + ", $symbol, "@GOTPCREL]"),
                    out(reg) address,
                    options(nostack, pure, readonly, preserves_flags),
                );
                #[cfg(target_arch = "aarch64")]
                core::arch::asm!(
                    concat!(".weak ", $symbol),
                    concat!("adrp {0}, :got:", $symbol),
                    concat!("ldr {0}, [{0}, :got_lo12:", $symbol, "]"),
                    out(reg) address,
                    options(nostack, pure, readonly, preserves_flags),
                );
            }
            address
        }
    };
}

weak!(
    /// glibc's own name of `fdopen`.
    glibc_fdopen = "_IO_fdopen"
);
weak!(
    /// In glibc before 2.34 a part of libdl.
    dlsym = "dlsym"
);
weak!(
    /// Only glibc has it.
    gnu_get_libc_version = "gnu_get_libc_version"
);
weak!(
    /// Whether the process has one thread: glibc since 2.32.
    single_threaded = "__libc_single_threaded"
);
weak!(
    /// Whether a stream writes by lines.
    flbf = "__flbf"
);
weak!(
    /// The variable `stdin`.
    stdin = "stdin"
);
weak!(
    /// The variable `stdout`.
    stdout = "stdout"
);
weak!(
    /// The variable `stderr`.
    stderr = "stderr"
);
