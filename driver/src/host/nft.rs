//! The kernel's packet filter, nftables: changed by the command `nft`, asked over netlink.

use std::io;
use std::os::fd::AsFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use super::command::{self, CommandError};

/// `NFT_MSG_GETGEN` of the subsystem `NFNL_SUBSYS_NFTABLES` (`linux/netfilter/nf_tables.h`).
const GET_GENERATION: u16 = (10 << 8) | 16;
/// `NFTA_GEN_ID`.
const GENERATION_ID: u16 = 1;
const REQUEST: u16 = 1;
const ERROR: u16 = 2;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADERS: usize = 20;

/// Carries out a script, as a whole or not at all.
pub fn apply(script: &str) -> Result<(), CommandError> {
    command::run("nft", &["-f", "-"], script).map(drop)
}

/// What `nft` says of what is not there, in English, which it is asked to speak.
const NOT_THERE: &str = "No such file or directory";

/// Whether a table of the family `inet` has a chain.
pub fn has_chain(table: &str, chain: &str) -> Result<bool, CommandError> {
    listed(&["chain", "inet", table, chain]).map(|found| found.is_some())
}

/// The rules of a table of the family `inet`, if there is such a table.
pub fn table(name: &str) -> Result<Option<String>, CommandError> {
    listed(&["table", "inet", name])
}

fn listed(what: &[&str]) -> Result<Option<String>, CommandError> {
    match command::run("nft", &[&["list"], what].concat(), "") {
        Ok(text) => Ok(Some(text)),
        Err(CommandError::Refused { complaint, .. }) if complaint.contains(NOT_THERE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The chains of all tables, without their rules.
pub fn chains() -> Result<String, CommandError> {
    command::run("nft", &["list", "chains"], "")
}

/// The number of the rule set, which every change by anybody increases; `None` when the kernel has no
/// nftables.
pub fn generation() -> io::Result<Option<u32>> {
    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let socket =
        rustix::net::socket_with(family, SocketType::RAW, flags, Some(netlink::NETFILTER))?;
    let mut request = [0u8; HEADERS];
    request[..4].copy_from_slice(&20u32.to_ne_bytes());
    request[4..6].copy_from_slice(&GET_GENERATION.to_ne_bytes());
    request[6..8].copy_from_slice(&REQUEST.to_ne_bytes());
    rustix::net::send(&socket, &request, SendFlags::empty())?;
    let mut answer = [0u8; 256];
    let (length, _) = rustix::net::recv(socket.as_fd(), &mut answer, RecvFlags::DONTWAIT)?;
    Ok(read(&answer[..length])?)
}

fn read(answer: &[u8]) -> Result<Option<u32>, rustix::io::Errno> {
    let half = |at: usize| answer.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    let word = |at: usize| answer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    let kind = half(4).map(u16::from_ne_bytes);
    if kind == Some(ERROR) {
        let error = word(16).map(i32::from_ne_bytes);
        let denied = rustix::io::Errno::PERM.raw_os_error();
        return if error == Some(-denied) { Err(rustix::io::Errno::PERM) } else { Ok(None) };
    }
    let mut at = HEADERS;
    while let (Some(length), Some(kind)) = (half(at), half(at + 2)) {
        let length = usize::from(u16::from_ne_bytes(length));
        if u16::from_ne_bytes(kind) == GENERATION_ID {
            return Ok(word(at + 4).map(u32::from_be_bytes));
        }
        // An attribute is at least its own header long, so this ends.
        at += length.max(4).next_multiple_of(4);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(kind: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn the_generation_is_found_among_attributes() {
        let mut rest = vec![0; 4];
        rest.extend([5u16.to_ne_bytes(), 2u16.to_ne_bytes()].concat());
        rest.extend([b'x', 0, 0, 0]);
        rest.extend([8u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat());
        rest.extend(77u32.to_be_bytes());
        assert_eq!(read(&answer(0x0a0f, &rest)), Ok(Some(77)));
    }

    #[test]
    fn refusals_are_told_apart() {
        let denied = (-rustix::io::Errno::PERM.raw_os_error()).to_ne_bytes();
        assert_eq!(read(&answer(ERROR, &denied)), Err(rustix::io::Errno::PERM));
        let unknown = (-rustix::io::Errno::INVAL.raw_os_error()).to_ne_bytes();
        assert_eq!(read(&answer(ERROR, &unknown)), Ok(None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = read(&bytes);
        }
    }
}
