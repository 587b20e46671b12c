//! DPDK's `dpdk-testpmd` with one port, of memif or of a vhost-user front end, driven through its prompt; on the host, or as the
//! first process of a container.
//!
//! Facts of DPDK 22.11 that shape this: a client without a server fails its port start and never
//! retries (`port stop` and `port start` do); counters read 0 once the peer is gone, so they are
//! read before; both logical cores may share one CPU.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::docker::{Container, RunOptions};
use crate::process::Process;
use crate::{Image, unique, wait};

/// How long an answer at the prompt may take, and the start.
const LIMIT: Duration = Duration::from_secs(20);

/// What testpmd's port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// `net_memif`.
    Memif,
    /// `net_virtio_user`: the front end of a vhost-user device, whose link is always up.
    VirtioUser,
}

/// What testpmd is told.
#[derive(Debug, Clone)]
pub struct TestpmdOptions {
    /// What its port is.
    pub driver: Driver,
    /// `client` or `server`.
    pub role: &'static str,
    /// Name of the abstract socket; path of a vhost-user socket.
    pub socket: String,
    /// Interface id.
    pub id: u32,
    /// Secret, if any.
    pub secret: Option<String>,
    /// Queues in each direction.
    pub queues: u16,
    /// Log2 of the ring size.
    pub ring: u8,
    /// Bytes of one memif buffer (client only).
    pub buffer: u16,
    /// Bytes of data of one packet buffer of DPDK.
    pub mbuf: u16,
    /// The CPU that it runs on.
    pub cpu: usize,
    /// More arguments of the device, `zero-copy=yes` say.
    pub device: Vec<String>,
    /// More arguments of DPDK's environment.
    pub eal: Vec<String>,
    /// What arrived before `start` is forwarded, not thrown away. Not for forwarding single packets:
    /// DPDK 22.11 then takes nothing from an idle port.
    pub keeps_early: bool,
    /// More arguments of testpmd itself.
    pub arguments: Vec<String>,
}

impl TestpmdOptions {
    /// A client of `socket`, one queue, all else by default.
    pub fn client(socket: &str) -> Self {
        Self::new("client", socket)
    }

    /// A server on `socket`.
    pub fn server(socket: &str) -> Self {
        Self::new("server", socket)
    }

    /// The front end of the vhost-user device whose socket is at `path`.
    pub fn front_end(path: &str) -> Self {
        Self { driver: Driver::VirtioUser, ring: 8, ..Self::new("front end", path) }
    }

    fn new(role: &'static str, socket: &str) -> Self {
        Self {
            driver: Driver::Memif,
            role,
            socket: socket.to_owned(),
            id: 0,
            secret: None,
            queues: 1,
            ring: 10,
            buffer: 2048,
            mbuf: 2048,
            cpu: 1,
            device: Vec::new(),
            eal: Vec::new(),
            keeps_early: true,
            arguments: Vec::new(),
        }
    }

    fn memif_device(&self) -> Vec<String> {
        let mut device = vec![
            "net_memif0".to_owned(),
            format!("role={}", self.role),
            format!("id={}", self.id),
            format!("socket={}", self.socket),
            format!("rsize={}", self.ring),
        ];
        if self.role == "client" {
            device.push(format!("bsize={}", self.buffer));
        }
        device.extend(self.secret.iter().map(|secret| format!("secret={secret}")));
        device
    }

    fn command_line(&self, prefix: &str) -> Vec<String> {
        let mut device = match self.driver {
            Driver::Memif => self.memif_device(),
            Driver::VirtioUser => vec![
                "net_virtio_user0".to_owned(),
                format!("path={}", self.socket),
                format!("queues={}", self.queues),
                format!("queue_size={}", 1u32 << self.ring),
            ],
        };
        device.extend(self.device.iter().cloned());
        let device = device.join(",");
        let cpu = self.cpu;
        let mut line = vec![
            "--lcores".to_owned(),
            format!("0@{cpu},1@{cpu}"),
            format!("--file-prefix={prefix}"),
            format!("--vdev={device}"),
            // Says why a link went down.
            "--log-level=pmd.net.memif:info".to_owned(),
            "--log-level=pmd.net.virtio.*:info".to_owned(),
        ];
        line.extend(["--no-huge", "-m", "512", "--no-pci"].map(str::to_owned));
        line.extend(self.eal.iter().cloned());
        line.extend(["--", "-i"].map(str::to_owned));
        line.extend(["--no-mlockall", "--total-num-mbufs=16384"].map(str::to_owned));
        if self.keeps_early {
            line.push("--no-flush-rx".to_owned());
        }
        // The headroom of 128 bytes is not data.
        line.push(format!("--mbuf-size={}", u32::from(self.mbuf) + 128));
        line.push(format!("--rxq={}", self.queues));
        line.push(format!("--txq={}", self.queues));
        line.extend(self.arguments.iter().cloned());
        line
    }
}

/// What the port counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that the peer had no room for.
    pub tx_errors: u64,
}

/// A running testpmd; dropping it kills it, and its container with it.
#[derive(Debug)]
pub struct Testpmd {
    process: Process,
    /// Kept for its end.
    container: Option<Container>,
}

impl Testpmd {
    /// Starts it on the host and waits for its prompt.
    pub fn on_host(options: &TestpmdOptions) -> Result<Self> {
        let prefix = unique("pmd");
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "dpdk-testpmd"]).args(options.command_line(&prefix));
        let process = Process::start(format!("testpmd {}", options.role), &mut command)?;
        Self::ready(process, None)
    }

    /// Starts it as the first process of a container and waits for its prompt.
    pub fn in_container(options: &TestpmdOptions, run: RunOptions) -> Result<Self> {
        let line = options.command_line("pmd");
        let mut command = vec!["dpdk-testpmd"];
        command.extend(line.iter().map(String::as_str));
        let run = run
            .flags(&["-e", "LD_PRELOAD=/lib/libstdbuf.so", "-e", "_STDBUF_O=L"])
            .command(&command);
        let image = match options.driver {
            Driver::Memif => Image::testpmd()?,
            Driver::VirtioUser => Image::virtio_user()?,
        };
        let (container, process) = Container::foreground(&image, &run)?;
        Self::ready(process, Some(container))
    }

    fn ready(process: Process, container: Option<Container>) -> Result<Self> {
        let mut testpmd = Self { process, container };
        // The prompt has no line end; an unknown word is answered with a line once it is there.
        testpmd
            .command("show config rxtx", |line| line.contains("packet forwarding").then_some(()))?;
        Ok(testpmd)
    }

    /// Its container, when it runs in one.
    pub fn container(&self) -> Option<&Container> {
        self.container.as_ref()
    }

    /// Sends a command and waits for the line that answers it.
    pub fn command<T>(&mut self, line: &str, found: impl FnMut(&str) -> Option<T>) -> Result<T> {
        let mark = self.process.mark();
        self.process.send(line)?;
        self.process.line_after(mark, LIMIT, &format!("`{line}` is answered"), found)
    }

    /// Sends a command that is answered by nothing.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        self.process.send(line)
    }

    /// Chooses the forwarding mode.
    pub fn forward(&mut self, mode: &str) -> Result<()> {
        self.command(&format!("set fwd {mode}"), |line| {
            line.contains("packet forwarding mode").then_some(())
        })
    }

    /// Sets the length of generated packets, in segments.
    pub fn packet_segments(&mut self, segments: &[u16]) -> Result<()> {
        let list = segments.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        self.tell(&format!("set txpkts {list}"))
    }

    /// What its forwarding engine did with packets, in its own words.
    pub fn forward_stats(&mut self) -> Result<String> {
        let mut text = String::new();
        self.command("show fwd stats all", |line| {
            text.push_str(line);
            text.push('\n');
            line.contains("+++++++++++++++++++++").then_some(())
        })?;
        Ok(text)
    }

    /// Starts forwarding.
    pub fn start(&mut self) -> Result<()> {
        self.command("start", |line| line.contains("packet forwarding").then_some(()))
    }

    /// Sends `count` bursts of 32 packets on each queue, then starts forwarding.
    pub fn start_with_bursts(&mut self, count: u32) -> Result<()> {
        self.command(&format!("start tx_first {count}"), |line| {
            line.contains("packet forwarding packets/burst").then_some(())
        })
    }

    /// Stops forwarding; in-flight packets are flushed.
    pub fn stop(&mut self) -> Result<()> {
        self.command("stop", |line| {
            (line.contains("Done") || line.contains("not started")).then_some(())
        })
    }

    /// Stops and starts its port: the way a client of DPDK connects again.
    pub fn restart_port(&mut self) -> Result<()> {
        self.tell("port stop 0")?;
        self.tell("port start 0")
    }

    /// Whether the memif link is up.
    pub fn link_is_up(&mut self) -> Result<bool> {
        self.command("show port info 0", |line| match line.strip_prefix("Link status: ") {
            Some("up") => Some(true),
            Some(_) => Some(false),
            None => None,
        })
    }

    /// Waits until the link is up (or down).
    pub fn wait_link(&mut self, up: bool) -> Result<()> {
        let what = format!("the link of testpmd is {}", if up { "up" } else { "down" });
        let seen = wait::until(LIMIT, &what, || Ok((self.link_is_up()? == up).then_some(())));
        seen.with_context(|| format!("it wrote:\n{}", self.process.output().join("\n")))
    }

    /// What its port counted so far.
    pub fn stats(&mut self) -> Result<PortStats> {
        let mut stats = PortStats::default();
        self.command("show port stats 0", |line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |name: &str| {
                let at = words.iter().position(|it| *it == name)?;
                words.get(at + 1)?.parse().ok()
            };
            match *words.first()? {
                "RX-packets:" => {
                    stats.rx_packets = number("RX-packets:")?;
                    stats.rx_bytes = number("RX-bytes:")?;
                }
                "TX-packets:" => {
                    stats.tx_packets = number("TX-packets:")?;
                    stats.tx_errors = number("TX-errors:")?;
                    stats.tx_bytes = number("TX-bytes:")?;
                    return Some(());
                }
                _ => {}
            }
            None
        })?;
        Ok(stats)
    }

    /// Waits until the counters satisfy `enough`.
    pub fn wait_stats(
        &mut self,
        what: &str,
        mut enough: impl FnMut(&PortStats) -> bool,
    ) -> Result<PortStats> {
        let mut last = PortStats::default();
        let seen = wait::until(LIMIT, what, || {
            last = self.stats()?;
            Ok(enough(&last).then_some(last))
        });
        seen.with_context(|| format!("last seen: {last:?}"))
    }

    /// Waits until its port counts no more, and returns the final counters.
    pub fn settled_stats(&mut self) -> Result<PortStats> {
        let mut last = self.stats()?;
        let mut same = 0;
        wait::until(LIMIT, "the counters of testpmd settle", || {
            let now = self.stats()?;
            same = if now == last { same + 1 } else { 0 };
            last = now;
            Ok((same >= 5).then_some(now))
        })
    }

    /// How many packets came on each receive queue of a vhost-user front end.
    pub fn received_by_queue(&mut self, queues: usize) -> Result<Vec<u64>> {
        let mut counts = vec![None; queues];
        self.command("show port xstats 0", |line| {
            let (name, count) = line.split_once(": ")?;
            let queue = name.trim().strip_prefix("rx_q")?.strip_suffix("_good_packets")?;
            let queue: usize = queue.parse().ok()?;
            if let Some(place) = counts.get_mut(queue) {
                *place = count.trim().parse().ok();
            }
            counts.iter().copied().collect::<Option<Vec<u64>>>()
        })
    }

    /// What it wrote so far.
    pub fn output(&self) -> String {
        self.process.output().join("\n")
    }

    /// Kills it with SIGKILL, in the middle of whatever it does.
    pub fn kill(self) -> Result<()> {
        if let Some(container) = self.container {
            return container.remove();
        }
        let mut process = self.process;
        process.kill();
        Ok(())
    }

    /// Ends it in an orderly way.
    pub fn quit(mut self) -> Result<()> {
        self.process.send("quit")?;
        let status = self.process.wait(LIMIT)?;
        if !status.success() {
            bail!("testpmd ended with {status}; it wrote:\n{}", self.output());
        }
        Ok(())
    }
}
