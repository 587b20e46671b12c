//! The preload library: the socket calls of the C library, served by sessions where the broker in the
//! agent says so, and by the kernel everywhere else.
//!
//! A program's socket starts as the kernel's own. `connect` and `listen` ask the broker; when it
//! answers with a session, one end of a unix socket pair takes the descriptor's place (`dup3`), and
//! from then on the bytes move through shared memory (see the `session` crate). So descriptors stay
//! real: the kernel inherits, passes, polls and closes them.
//!
//! * `exports`: the functions of the C library that are taken over, each a thin shell.
//! * `table`: which descriptor is what; `socket`, `epoll`: the objects behind it.
//! * `connect`, `listen`, `broker`: how sockets become sessions; `datagram`: those that keep their
//!   boundaries.
//! * `transfer`, `wait`: moving bytes, sleeping and waking.
//! * `process`: forks; `sync`: locks that survive them.
//! * `raw`: the kernel's calls with the C library's conventions.
//!
//! The library must live in any program. It needs no standard library, and it is linked against no C
//! library: what it uses of that (a dozen functions that every one has) is found in the program.
//! Its own calls go straight to the kernel, so they never come back to the exported functions.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod address;
mod allocator;
mod broker;
mod buffers;
mod clock;
mod connect;
mod copying;
mod datagram;
mod epoll;
pub mod exports;
mod files;
mod hidden;
mod listen;
mod locals;
mod log;
mod memory;
mod messages;
mod options;
mod oracle;
mod poll;
mod process;
mod raw;
mod reached;
mod readiness;
mod resume;
mod signals;
mod sleepers;
mod socket;
mod start;
mod stdio;
mod sync;
mod table;
mod tcp_info;
mod transfer;
mod wait;
mod weak;

#[cfg(preload)]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    raw::die(info)
}
