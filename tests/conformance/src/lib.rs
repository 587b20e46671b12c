//! A program for the inside of containers that tries sockets call by call: two processes run the same
//! list of cases and write down what each call answered. Run once over the kernel's TCP and once over
//! sessions, both must write the same.
//!
//! It calls the C library the way a program in C does, so that a preloaded library sees the calls. It
//! knows nothing of sessions.

mod calls;
pub mod cases;
pub mod checked;
pub mod names;
pub mod script;
pub mod sys;
