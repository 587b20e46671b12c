//! Where a memif socket is: a path in the file system, or a name in the abstract namespace.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

use rustix::net::SocketAddrUnix;

/// Bytes of `sun_path` (unix(7)); a path needs one of them for its NUL, an abstract name for the
/// one in front.
const CAPACITY: usize = 108;

/// The address of a memif socket.
///
/// Written as a path, or as `@name` for the abstract namespace (as libmemif does; DPDK calls it
/// `socket-abstract=yes`, VPP `abstract:name`). An abstract name belongs to a network namespace.
/// A relative path that starts with `@` is written `./@…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A socket file, at most 107 bytes.
    Path(PathBuf),
    /// A name of 1 to 107 bytes, without the NUL in front.
    Abstract(Vec<u8>),
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing, or `@` alone.
    #[error("a memif socket needs a path or an @name")]
    Empty,
    /// Longer than the kernel takes.
    #[error("a socket address of {0} bytes; the kernel takes at most {max}", max = CAPACITY - 1)]
    TooLong(usize),
    /// A path cannot hold a NUL.
    #[error("a socket path cannot contain a NUL byte")]
    Nul,
}

impl Address {
    /// `/run/memif.sock`, where VPP and DPDK look first.
    pub fn path(path: impl Into<PathBuf>) -> Result<Self, AddressError> {
        let path = path.into();
        let bytes = path.as_os_str().as_bytes();
        fits(bytes.len())?;
        if bytes.contains(&0) {
            return Err(AddressError::Nul);
        }
        Ok(Self::Path(path))
    }

    /// A name in the abstract namespace, given without `@`.
    pub fn abstract_name(name: impl Into<Vec<u8>>) -> Result<Self, AddressError> {
        let name = name.into();
        fits(name.len())?;
        Ok(Self::Abstract(name))
    }

    pub(crate) fn to_socket_address(&self) -> io::Result<SocketAddrUnix> {
        Ok(match self {
            Self::Path(path) => SocketAddrUnix::new(path)?,
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?,
        })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix('@') {
            Some(name) => Self::abstract_name(name),
            None => Self::path(OsStr::new(text)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(formatter),
            Self::Abstract(name) => write!(formatter, "@{}", name.escape_ascii()),
        }
    }
}

fn fits(length: usize) -> Result<(), AddressError> {
    match length {
        0 => Err(AddressError::Empty),
        1..CAPACITY => Ok(()),
        _ => Err(AddressError::TooLong(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["/run/memif.sock", "@dockervpp/memif", "./@file", "relative.sock"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        assert!(matches!("@x".parse(), Ok(Address::Abstract(name)) if name == b"x"));
        assert!(matches!("./@x".parse(), Ok(Address::Path(_))));
    }

    #[test]
    fn what_the_kernel_would_not_take_is_refused() {
        assert_eq!("".parse::<Address>(), Err(AddressError::Empty));
        assert_eq!("@".parse::<Address>(), Err(AddressError::Empty));
        assert_eq!("a\0b".parse::<Address>(), Err(AddressError::Nul));
        assert_eq!("x".repeat(108).parse::<Address>(), Err(AddressError::TooLong(108)));
        for longest in ["x".repeat(107), format!("@{}", "x".repeat(107))] {
            let address: Address = longest.parse().unwrap();
            address.to_socket_address().unwrap();
        }
    }
}
