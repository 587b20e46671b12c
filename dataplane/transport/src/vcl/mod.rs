//! Sessions over VPP's own host stack (VCL), by a process of the host's for each endpoint.
//!
//! libvppcom shares memory with VPP, must be of VPP's release, and takes down who loads a wrong one; so it is
//! loaded by a process that has nothing else to lose, and not by the agent. The agent starts one for each
//! endpoint, and again when it ends. To the broker, the thread that looks after it is a network stack like
//! any other.
//!
//! * `options`: which VPP, as what; `library`: with which libvppcom.
//! * `wire`, `channel`: what the agent and the process tell each other.
//! * `desk`, `backoff`, `supervisor`: the agent's side; `control`: whether there is a process, from outside.
//! * `process`: the other side, with libvppcom.

mod backoff;
mod channel;
mod control;
mod desk;
mod library;
mod options;
mod process;
mod supervisor;
mod wire;

pub use control::{Control, Detaching, Status};
pub use library::{NoLibrary, find_library};
pub use options::{BadArgument, VclAttach};
pub use process::{ProcessError, serve};
pub use supervisor::Program;
pub(crate) use supervisor::Supervisor;
pub use vcl_sys::Release;
