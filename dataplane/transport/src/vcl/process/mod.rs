//! The process that is attached to VPP: sessions of programs on one side, VPP's on the other.

mod connections;
mod doors;
mod work;

use std::os::fd::OwnedFd;

use vcl_sys::{App, AttachError, CallError, Config, Library, LoadError, Mismatch};

use super::channel::Channel;
use super::options::VclAttach;
use work::Work;

/// Why the process ends, other than that the agent is gone.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no library.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The library does not go with VPP.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// VPP does not take it.
    #[error("{socket}: {error}", error = with_source(.source))]
    Attach {
        /// The app socket.
        socket: String,
        /// Why.
        source: AttachError,
    },
    /// VPP is gone. Another one may be of another release, so the process is, too.
    #[error("VPP is gone")]
    VppGone,
    /// libvppcom does not do what it must.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The kernel does not.
    #[error("the kernel refuses what the process needs: {0}")]
    Kernel(#[from] rustix::io::Errno),
    /// The agent said something that makes no sense.
    #[error("the agent is not understood: {0}")]
    Agent(String),
}

fn with_source(error: &AttachError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}

/// Serves the agent at the other end of `socket` until it is gone.
///
/// # Errors
/// [`ProcessError`].
pub fn serve(socket: OwnedFd, attach: &VclAttach) -> Result<(), ProcessError> {
    let library = match &attach.library {
        Some(path) => Library::open(path)?,
        None => Library::open_release(attach.release)?,
    };
    library.check(attach.release)?;
    let mut config = Config::new(&attach.name, &attach.socket);
    config.max_workers = 1;
    (config.rx_fifo, config.tx_fifo) = (attach.fifo, attach.fifo);
    let worker = App::attach(&library, &config)
        .map_err(|source| ProcessError::Attach { socket: attach.socket.clone(), source })?;
    Work::new(Channel::new(socket), worker)?.run()
}
