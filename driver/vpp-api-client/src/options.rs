//! How a client behaves.

use std::time::Duration;

/// How a client behaves; `Options::default()` suits most.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name that VPP shows (`show api clients`), at most 63 bytes. Default: `vpp-api-client`.
    pub name: String,
    /// How long an answer is waited for; for a dump, each of its messages. Default: 10 s.
    pub timeout: Duration,
    /// How often VPP is pinged, to notice one that hangs. A ping that is not answered within
    /// [`timeout`](Self::timeout) ends the connection. Default: 30 s; `None`: never.
    pub keepalive: Option<Duration>,
    /// How many events of a kind wait for a receiver that is slow. Default: 1024.
    pub event_backlog: usize,
    /// The longest message that is believed, in bytes. Default: 64 MiB.
    pub longest_message: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "vpp-api-client".to_owned(),
            timeout: Duration::from_secs(10),
            keepalive: Some(Duration::from_secs(30)),
            event_backlog: 1024,
            longest_message: 64 << 20,
        }
    }
}
