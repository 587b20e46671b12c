//! The memory that VPP gives away, through a descriptor.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix,
    SocketFlags, SocketType, recvmsg, socket_with, sockopt,
};

use super::layout::{LayoutError, Memory};

/// How long VPP is given to hand the descriptor over.
const PATIENCE: Duration = Duration::from_secs(5);

/// VPP's memory of counters.
#[derive(Debug)]
pub struct Segment {
    file: OwnedFd,
}

impl Segment {
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let kind = SocketType::SEQPACKET;
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut data = [IoSliceMut::new(&mut byte)];
        recvmsg(&socket, &mut data, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let rights = ancillary.drain().find_map(|it| match it {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        let file = rights.ok_or_else(|| io::Error::other("no descriptor came with the answer"))?;
        Ok(Self { file })
    }
}

impl Memory for Segment {
    fn read(&self, at: u64, out: &mut [u8]) -> Result<(), LayoutError> {
        let mut done = 0;
        while done < out.len() {
            let from = at.saturating_add(done as u64);
            match rustix::io::pread(&self.file, &mut out[done..], from) {
                Ok(0) => return Err(LayoutError::Outside { at, length: out.len() as u64 }),
                Ok(count) => done += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(LayoutError::System { at, error: error.to_string() }),
            }
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        let size = rustix::fs::fstat(&self.file).map_or(0, |it| it.st_size);
        u64::try_from(size).unwrap_or(0)
    }
}
