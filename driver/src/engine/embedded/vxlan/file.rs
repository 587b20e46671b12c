//! A file that names the other hosts of a network. Pure.

use dataplane::vxlan::{Peer, PeersError};

/// Bytes of the largest file: many times the most hosts there may be, with comments.
pub(super) const MOST_BYTES: usize = 64 << 10;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FileError {
    /// Not text.
    #[error("it is not UTF-8 text")]
    NoText,
    /// Larger than any list of hosts.
    #[error("it has more than {} KiB", MOST_BYTES >> 10)]
    TooLarge,
    /// A line names no host.
    #[error("line {line}: {error}")]
    Line {
        /// Which.
        line: usize,
        /// Why.
        error: PeersError,
    },
    /// A line names a UDP port that the packet filter does not know of.
    #[error(
        "line {line}: the hosts of a file have the UDP port of `vxlan.port`, {port}; name those with another one in \
         `vxlan.peers`"
    )]
    Port {
        /// Which.
        line: usize,
        /// The port.
        port: u16,
    },
    /// No line does: more likely a file that is being written than a network without other hosts.
    #[error("it names no host (a line for each; # begins a comment)")]
    Empty,
}

/// The hosts of a file, one in a line, all with this UDP port.
pub(super) fn parse(bytes: &[u8], port: u16) -> Result<Vec<Peer>, FileError> {
    if bytes.len() > MOST_BYTES {
        return Err(FileError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| FileError::NoText)?;
    let mut peers = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let named = line.split('#').next().unwrap_or_default().trim();
        if !named.is_empty() {
            let line = at + 1;
            let peer = Peer::parse(named, port).map_err(|error| FileError::Line { line, error })?;
            if peer.port() != port {
                return Err(FileError::Port { line, port });
            }
            peers.push(peer);
        }
    }
    if peers.is_empty() { Err(FileError::Empty) } else { Ok(peers) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_in_lines_with_comments() {
        let text = "# all hosts\n192.0.2.1\n\n  [2001:db8::1]:8472  # the second\r\n192.0.2.3:8472";
        let shown: Vec<_> =
            parse(text.as_bytes(), 8472).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1:8472", "[2001:db8::1]:8472", "192.0.2.3:8472"]);
        assert_eq!(parse(text.as_bytes(), 4789), Err(FileError::Port { line: 4, port: 4789 }));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let error = parse(b"192.0.2.1\n# x\n192.0.2.1 192.0.2.2\n", 4789).unwrap_err().to_string();
        assert!(error.starts_with("line 3: `192.0.2.1 192.0.2.2` is not"), "{error}");
        assert_eq!(parse(b"", 4789), Err(FileError::Empty));
        assert_eq!(parse(b"# nobody\n", 4789), Err(FileError::Empty));
        assert_eq!(parse(&[0xff], 4789), Err(FileError::NoText));
        assert_eq!(parse(&vec![b'#'; MOST_BYTES + 1], 4789), Err(FileError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, 4789);
        }
    }
}
