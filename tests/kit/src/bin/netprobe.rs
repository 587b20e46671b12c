//! `netprobe`: what busybox cannot do inside a test container, for the suites and the demo.
//!
//! * `netprobe info [SOCKET]` prints what an abstract stream socket says, `dockervpp/info` by default.
//! * `netprobe flood ADDRESS:PORT SECONDS [SIZE]` sends UDP packets as fast as it can.
//! * `netprobe sink PORT SECONDS` counts UDP packets from the first one on, for so many seconds.
//! * `netprobe serve PORT MEGABYTES` sends so much over the first TCP connection that comes.
//! * `netprobe fetch ADDRESS:PORT` reads a TCP connection to its end.
//! * `netprobe echo PORT` sends back what comes over TCP and UDP, and says from whom it came.
//! * `netprobe ask stream|datagrams ADDRESS:PORT BYTES` sends so much to a server that echoes, and compares.
//! * `netprobe pulse ADDRESS:PORT` sends a block to a server that echoes, every few milliseconds until its input ends, and
//!   says how many bytes came back, and how long it waited at most.
//! * `netprobe frames SOCKET COUNT HEX…` sends these frames over memif, all of them so many times, and stays.
//!
//! `serve` and `fetch` print a checksum of all bytes, and the time that they took.

use std::collections::HashSet;
use std::env;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use memif::queue::TxError;
use memif::{Address, ClientConfig, InterfaceId};

const USAGE: &str = "netprobe info [SOCKET] | flood TO SECONDS [SIZE] | sink PORT SECONDS | \
                     serve PORT MEGABYTES | fetch FROM | echo PORT | \
                     ask stream|datagrams TO BYTES | pulse TO | frames SOCKET COUNT HEX…";

/// How long the sink waits for the first packet.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `pulse` sends at a time, and how long it pauses after each answer.
const PULSE_BYTES: usize = 4096;
const PULSE_PAUSE: Duration = Duration::from_millis(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["info"] => info("dockervpp/info"),
        ["info", socket] => info(socket.trim_start_matches('@')),
        ["flood", to, seconds] => flood(to, seconds, "18"),
        ["flood", to, seconds, size] => flood(to, seconds, size),
        ["sink", port, seconds] => sink(port, seconds),
        ["serve", port, megabytes] => serve(port, megabytes),
        ["fetch", from] => fetch(from),
        ["echo", port] => echo(port),
        ["ask", "stream", to, bytes] => ask_stream(to, bytes),
        ["ask", "datagrams", to, bytes] => ask_datagrams(to, bytes),
        ["pulse", to] => pulse(to),
        ["frames", socket, count, ref frames @ ..] => send_frames(socket, count, frames),
        _ => Err(anyhow::anyhow!("usage: {USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netprobe: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn info(name: &str) -> Result<()> {
    let address = UnixAddress::from_abstract_name(name)?;
    let mut stream =
        UnixStream::connect_addr(&address).with_context(|| format!("cannot connect to @{name}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn flood(to: &str, time: &str, size: &str) -> Result<()> {
    let to: SocketAddr = to.parse().context("the destination is ADDRESS:PORT")?;
    let time = seconds(time)?;
    let payload = vec![0; size.parse().context("the size is in bytes")?];
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    let (start, mut sent, mut refused) = (Instant::now(), 0_u64, 0_u64);
    while start.elapsed() < time {
        // The clock costs as much as a packet: ask it rarely.
        for _ in 0..64 {
            match socket.send(&payload) {
                Ok(_) => sent += 1,
                Err(_) => refused += 1,
            }
        }
    }
    print_rate("sent", sent, start.elapsed(), refused)
}

fn sink(port: &str, time: &str) -> Result<()> {
    let port: u16 = port.parse().context("the port is a number")?;
    let time = seconds(time)?;
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 2048];
    if socket.recv(&mut buffer).is_err() {
        bail!("no packet within {PATIENCE:?}");
    }
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (start, mut received) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        for _ in 0..64 {
            match socket.recv(&mut buffer) {
                Ok(_) => received += 1,
                Err(_) => break,
            }
        }
    }
    print_rate("received", received, start.elapsed(), 0)
}

/// Bytes that look random, and a running checksum (FNV-1a over words) of bytes in any pieces.
struct Stream {
    word: u64,
    sum: u64,
    bytes: u64,
}

impl Stream {
    fn new() -> Self {
        Self { word: 0x9e37_79b9_7f4a_7c15, sum: 0xcbf2_9ce4_8422_2325, bytes: 0 }
    }

    fn fill(&mut self, block: &mut [u8]) {
        for part in block.chunks_exact_mut(8) {
            self.word ^= self.word << 13;
            self.word ^= self.word >> 7;
            self.word ^= self.word << 17;
            part.copy_from_slice(&self.word.to_le_bytes());
        }
    }

    fn add(&mut self, piece: &[u8]) {
        for byte in piece {
            self.sum = (self.sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.bytes += piece.len() as u64;
    }

    fn print(&self, time: Duration) -> Result<()> {
        let (bytes, sum, time) = (self.bytes, self.sum, time.as_secs_f64());
        writeln!(
            io::stdout(),
            "{{\"bytes\":{bytes},\"checksum\":\"{sum:016x}\",\"seconds\":{time:.3}}}"
        )?;
        Ok(())
    }
}

fn serve(port: &str, megabytes: &str) -> Result<()> {
    let port: u16 = port.parse().context("the port is a number")?;
    let blocks = megabytes.parse::<u64>().context("the size is in megabytes")? * 16;
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    let (mut client, _) = listener.accept()?;
    let (start, mut stream, mut block) = (Instant::now(), Stream::new(), vec![0; 1 << 16]);
    for _ in 0..blocks {
        stream.fill(&mut block);
        stream.add(&block);
        client.write_all(&block)?;
    }
    client.shutdown(std::net::Shutdown::Write)?;
    // The other side's end: everything was taken.
    client.read_to_end(&mut Vec::new())?;
    stream.print(start.elapsed())
}

fn fetch(from: &str) -> Result<()> {
    let from: SocketAddr = from.parse().context("the source is ADDRESS:PORT")?;
    let mut server = TcpStream::connect(from)?;
    server.set_read_timeout(Some(PATIENCE))?;
    let (start, mut stream, mut block) = (Instant::now(), Stream::new(), vec![0; 1 << 18]);
    loop {
        match server.read(&mut block)? {
            0 => return stream.print(start.elapsed()),
            count => stream.add(&block[..count]),
        }
    }
}

/// An IPv4 address that came in by an IPv6 socket, as IPv4.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn echo(port: &str) -> Result<()> {
    let port: u16 = port.parse().context("the port is a number")?;
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))?;
    println!("listening");
    thread::spawn(move || echo_datagrams(&socket));
    loop {
        let (client, from) = listener.accept()?;
        println!("stream {}", plain(from));
        // How a connection ends is the client's affair.
        thread::spawn(move || io::copy(&mut &client, &mut &client));
    }
}

fn echo_datagrams(socket: &UdpSocket) -> Result<()> {
    let (mut buffer, mut known) = ([0; 2048], HashSet::new());
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        if known.insert(from) {
            println!("datagram {}", plain(from));
        }
        // What is lost is asked for again.
        let _ = socket.send_to(&buffer[..length], from);
    }
}

fn ask_stream(to: &str, bytes: &str) -> Result<()> {
    let to: SocketAddr = to.parse().context("the destination is ADDRESS:PORT")?;
    let mut sent = vec![0; bytes.parse().context("a number of bytes")?];
    Stream::new().fill(&mut sent);
    let server = TcpStream::connect_timeout(&to, PATIENCE)?;
    server.set_read_timeout(Some(PATIENCE))?;
    let mut received = Vec::with_capacity(sent.len());
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            (&server).write_all(&sent)?;
            server.shutdown(std::net::Shutdown::Write)
        });
        (&server).read_to_end(&mut received)?;
        sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        Ok::<_, anyhow::Error>(())
    })?;
    ensure!(received == sent, "{} of {} bytes came back, or others", received.len(), sent.len());
    println!("{} bytes from {}", received.len(), server.local_addr()?);
    Ok(())
}

/// Datagrams of 1000 bytes, one at a time, each sent again until it is answered.
fn ask_datagrams(to: &str, bytes: &str) -> Result<()> {
    let to: SocketAddr = to.parse().context("the destination is ADDRESS:PORT")?;
    let count = bytes.parse::<u32>().context("a number of bytes")?.div_ceil(1000);
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; 2048];
    for number in 0..count {
        let mut sent = [0; 1000];
        Stream::new().fill(&mut sent);
        sent[..4].copy_from_slice(&number.to_be_bytes());
        loop {
            ensure!(Instant::now() < end, "datagram {number} is not answered");
            // A server that is not there yet is asked again.
            let _ = socket.send(&sent);
            match socket.recv(&mut buffer) {
                Ok(length) if buffer[..4] == sent[..4] => {
                    ensure!(buffer[..length] == sent, "datagram {number} came back changed");
                    break;
                }
                Ok(_) => {}
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }
    println!("{count} datagrams from {}", socket.local_addr()?);
    Ok(())
}

fn pulse(to: &str) -> Result<()> {
    let to: SocketAddr = to.parse().context("the destination is ADDRESS:PORT")?;
    let mut server = TcpStream::connect_timeout(&to, PATIENCE)?;
    server.set_read_timeout(Some(PATIENCE))?;
    let input = thread::spawn(|| io::copy(&mut io::stdin(), &mut io::sink()));
    println!("pulsing");
    let (mut stream, mut longest) = (Stream::new(), Duration::ZERO);
    let (mut sent, mut received) = ([0; PULSE_BYTES], [0; PULSE_BYTES]);
    while !input.is_finished() {
        let start = Instant::now();
        stream.fill(&mut sent);
        server.write_all(&sent)?;
        server
            .read_exact(&mut received)
            .with_context(|| format!("after {} bytes", stream.bytes))?;
        ensure!(received == sent, "other bytes came back after {}", stream.bytes);
        stream.bytes += received.len() as u64;
        longest = longest.max(start.elapsed());
        thread::sleep(PULSE_PAUSE);
    }
    println!("{{\"bytes\":{},\"longest_ms\":{}}}", stream.bytes, longest.as_millis());
    Ok(())
}

fn send_frames(socket: &str, count: &str, frames: &[&str]) -> Result<()> {
    let address: Address = socket.parse()?;
    let count: u32 = count.parse().context("a number of times")?;
    let frames: Vec<_> = frames.iter().map(|frame| octets(frame)).collect::<Result<_>>()?;
    let mut link = memif::connect(&address, ClientConfig::new(InterfaceId::default()), PATIENCE)?;
    let queue = link.take_queues().context("the link has no queues")?.tx.into_iter().next();
    let mut queue = queue.context("the link has no transmit queue")?;
    for frame in (0..count).flat_map(|_| &frames) {
        while let Err(error) = queue.push(frame.as_slice()) {
            ensure!(error == TxError::Full, "a frame was not sent: {error}");
            queue.flush()?;
            thread::yield_now();
        }
    }
    queue.flush()?;
    println!("sent {}", u64::from(count) * frames.len() as u64);
    // With the link its frames would go.
    loop {
        thread::park();
    }
}

fn octets(hex: &str) -> Result<Vec<u8>> {
    ensure!(
        hex.len().is_multiple_of(2) && hex.is_ascii(),
        "a frame is pairs of hexadecimal digits"
    );
    let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).context("not hexadecimal");
    (0..hex.len()).step_by(2).map(octet).collect()
}

fn print_rate(what: &str, packets: u64, time: Duration, refused: u64) -> Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = packets as f64 / time.as_secs_f64();
    writeln!(
        io::stdout(),
        "{{\"{what}\":{packets},\"seconds\":{:.3},\"per_second\":{rate:.0},\"refused\":{refused}}}",
        time.as_secs_f64()
    )?;
    Ok(())
}
