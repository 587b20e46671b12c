//! How an application attaches to VPP. Pure.

use std::fmt::Write as _;
use std::time::Duration;

/// How an application attaches to VPP. The defaults are libvppcom's own (v26.06 `vcl_cfg.c`), but for the
/// time limit of calls that wait for VPP, which there is ten minutes.
///
/// Messages are always signalled by eventfds (`use-mq-eventfd`): without them waiting means spinning, and
/// VPP's going away is not noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The application's name, as `show app` of VPP has it.
    pub name: String,
    /// The app socket: a path, or `abstract:NAME`. It decides the app namespace.
    pub socket: String,
    /// Bytes of the library's own heap.
    pub heap: usize,
    /// Workers at most; VCL has no more than 256.
    pub max_workers: u8,
    /// Bytes of the first shared segment of FIFOs.
    pub segment: usize,
    /// Bytes of each further one.
    pub add_segment: usize,
    /// Pairs of FIFOs that are made in advance.
    pub preallocated_fifo_pairs: u32,
    /// Bytes of a session's receive FIFO: what a peer may send before the application reads.
    pub rx_fifo: u32,
    /// Bytes of a session's transmit FIFO: what may be written before VPP sends it.
    pub tx_fifo: u32,
    /// Messages that wait for a worker at most.
    pub event_queue: u32,
    /// Sessions with applications of the same VPP past its network stack (cut-through). Off: in v26.06,
    /// clients are refused after one exited whose socket the server still holds.
    pub local_scope: bool,
    /// Sessions over the network.
    pub global_scope: bool,
    /// How long [`listen`](crate::Session::listen) waits for VPP at most.
    pub patience: Duration,
    /// What libvppcom prints to standard error: 0 nothing, 1 and more ever more.
    pub debug: u8,
}

impl Config {
    /// The defaults, for an app socket.
    pub fn new(name: impl Into<String>, socket: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            socket: socket.into(),
            heap: 256 << 20,
            max_workers: 16,
            segment: 256 << 20,
            add_segment: 128 << 20,
            preallocated_fifo_pairs: 8,
            rx_fifo: 1 << 20,
            tx_fifo: 1 << 20,
            event_queue: 2048,
            local_scope: false,
            global_scope: true,
            patience: Duration::from_secs(10),
            debug: 0,
        }
    }

    /// The same as a configuration file, for releases before v26.02: what `VCL_CONFIG` has to name when
    /// the process starts. The name is no part of it.
    pub fn file(&self) -> String {
        let mut text = String::from("vcl {\n");
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {key} {value}");
        };
        line("heapsize", &format_args!("{}M", self.heap.div_ceil(1 << 20)));
        line("max-workers", &self.max_workers);
        line("app-socket-api", &self.socket);
        line("segment-size", &self.segment);
        line("add-segment-size", &self.add_segment);
        line("preallocated-fifo-pairs", &self.preallocated_fifo_pairs);
        line("rx-fifo-size", &self.rx_fifo);
        line("tx-fifo-size", &self.tx_fifo);
        line("event-queue-size", &self.event_queue);
        line("session-timeout", &self.patience.as_secs_f64());
        if self.local_scope {
            line("app-scope-local", &"");
        }
        if self.global_scope {
            line("app-scope-global", &"");
        }
        line("use-mq-eventfd", &"");
        text.push_str("}\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_the_structure_says() {
        let mut config = Config::new("name", "abstract:x/session");
        config.rx_fifo = 4 << 20;
        let file = config.file();
        for line in [
            "vcl {",
            "  heapsize 256M",
            "  app-socket-api abstract:x/session",
            "  rx-fifo-size 4194304",
            "  tx-fifo-size 1048576",
            "  session-timeout 10",
            "  app-scope-global ",
            "  use-mq-eventfd ",
            "}",
        ] {
            assert!(file.lines().any(|it| it == line), "{line} is not in:\n{file}");
        }
        assert!(!file.contains("app-scope-local"));
        config.local_scope = true;
        assert!(config.file().contains("app-scope-local"));
    }
}
