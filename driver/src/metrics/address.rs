//! Where metrics are served. Pure.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A socket at which metrics can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsAddress {
    /// A unix socket that only root can open.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
}

impl MetricsAddress {
    /// Whether other hosts may reach it.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().is_loopback())
    }
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') && !path.ends_with('/') => {
                Ok(Self::Unix(PathBuf::from(path)))
            }
            Some(("unix", path)) => Err(format!("`{path}` is no absolute path of a socket")),
            Some(("tcp", address)) => address.parse().map(Self::Tcp).map_err(|_| {
                format!("`{address}` is no address and port, such as 127.0.0.1:9464 or [::1]:9464")
            }),
            _ => Err("must be unix:PATH or tcp:ADDRESS:PORT".to_owned()),
        }
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["unix:/run/m.sock", "tcp:127.0.0.1:9464", "tcp:[::1]:0", "tcp:0.0.0.0:1"] {
            let address: MetricsAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.is_remote(), text.contains("0.0.0.0"));
        }
        for bad in ["", "unix:", "unix:m.sock", "unix:/run/", "tcp:9464", "tcp:host:1", "9464"] {
            assert!(bad.parse::<MetricsAddress>().is_err(), "{bad}");
        }
    }
}
