//! The socket at which VPP gives its counters away, with counters of nothing: what a scenario without frames needs.
//! It is made here and not recorded.
//! (Facts: VPP 26.06, `src/vlib/stats/shared.h`; layout version 2.)

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, accept_with, bind, listen, sendmsg, shutdown, socket_with,
};

/// Where VPP would have the memory; any address does that is not 0.
const BASE: u64 = 0x1000_0000;

/// Who gives the counters away, until it is dropped.
#[derive(Debug)]
pub(super) struct Counters {
    socket: Arc<OwnedFd>,
}

impl Counters {
    /// Listens on `path`.
    pub(super) fn serve(path: &Path) -> io::Result<Self> {
        let memory = memory()?;
        let kind = SocketType::SEQPACKET;
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        listen(&socket, 8)?;
        let socket = Arc::new(socket);
        let own = Arc::clone(&socket);
        thread::spawn(move || {
            while let Ok(reader) = accept_with(&own, SocketFlags::CLOEXEC) {
                // Who has gone away needs no counters.
                let _ = give(&reader, &memory);
            }
        });
        Ok(Self { socket })
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // Ends `accept`; it fails only for what is no socket.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }
}

fn give(reader: &OwnedFd, memory: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let files = [memory.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(reader, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A header, and an empty directory: version, address, epoch, whether it changes, address of the directory.
fn memory() -> io::Result<OwnedFd> {
    let words = [2, BASE, 1, 0, BASE + 48, 0];
    let bytes: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
    let mut file = File::from(memfd_create("counters", MemfdFlags::CLOEXEC)?);
    file.write_all(&bytes)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use vpp_api_client::stats::Stats;

    use super::*;

    #[test]
    fn counters_of_nothing_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.sock");
        let counters = Counters::serve(&path).unwrap();
        let stats = Stats::connect(&path).unwrap();
        assert_eq!(stats.interfaces().unwrap(), []);
        assert_eq!(stats.errors().unwrap(), []);
        drop(counters);
        assert!(Stats::connect(&path).is_err());
    }
}
