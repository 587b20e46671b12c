//! A program of this suite over stream sockets: how sessions scale, and latency over load.

use super::{point, single};
use crate::benchmark::{Benchmark, Joint, Metric, Rhythm, Setup, SocketLoad, Suite};

const SESSIONS: &str = "dockervpp sessions";
const KERNEL: &str = "kernel TCP, Docker's bridge driver";
const LOOPBACK: &str = "kernel TCP, loopback";
const UNIX: &str = "unix socket";

pub(super) fn all() -> Vec<Benchmark> {
    let mut all = Vec::new();
    let connections =
        [(1, Suite::Quick), (10, Suite::Full), (100, Suite::Full), (1000, Suite::Quick)];
    all.extend(connections.map(|(connections, suite)| streams(connections, suite)));
    all.extend(connections.map(|(connections, suite)| round_trips(connections, suite)));
    let messages =
        [(1, Suite::Quick), (1024, Suite::Full), (65_536, Suite::Full), (1 << 20, Suite::Quick)];
    all.extend(messages.map(|(message, suite)| by_message(message, suite)));
    let rates = [
        (1000, Suite::Quick),
        (20_000, Suite::Full),
        (50_000, Suite::Quick),
        (150_000, Suite::Full),
        (400_000, Suite::Quick),
    ];
    all.extend(rates.map(|(rate, suite)| latency(rate, suite)));
    all.push(stream_sizes());
    all
}

/// The same load over sessions and Docker's bridge driver, and at some points over all that the kernel has.
fn everywhere(benchmark: Benchmark, load: SocketLoad) -> Benchmark {
    let sessions = Joint::Ours { attach: "userspace", server: true, client: true };
    let of = |joint| Setup::Sockets { joint, load };
    let is_end = benchmark.suite == Suite::Quick;
    let benchmark = benchmark
        .subject(SESSIONS, of(sessions))
        .peer(KERNEL, of(Joint::DockerBridge))
        .shown(SESSIONS, KERNEL);
    if !is_end {
        return benchmark;
    }
    benchmark
        .peer(LOOPBACK, of(Joint::Loopback))
        .peer(UNIX, of(Joint::UnixSocket))
        .shown(SESSIONS, LOOPBACK)
        .shown(SESSIONS, UNIX)
}

fn streams(connections: u32, suite: Suite) -> Benchmark {
    let load = SocketLoad { connections, message: 65_536, rhythm: Rhythm::Stream };
    let benchmark = point(
        "socket-streams",
        "connections",
        connections,
        Metric::GigabitsPerSecond,
        suite,
        "One process writes 64 KiB at a time to all connections that have room, one process reads them; \
         both wait with epoll. As the reader counts it.",
    );
    everywhere(benchmark, load)
}

fn round_trips(connections: u32, suite: Suite) -> Benchmark {
    let load = SocketLoad { connections, message: 64, rhythm: Rhythm::RoundTrip };
    let benchmark = point(
        "socket-round-trips",
        "connections",
        connections,
        Metric::ThousandPerSecond,
        suite,
        "On each connection one message of 64 bytes that is sent back, then the next; all connections from \
         one process to one process, both wait with epoll.",
    );
    everywhere(benchmark, load)
}

fn by_message(message: u32, suite: Suite) -> Benchmark {
    let load = SocketLoad { connections: 1, message, rhythm: Rhythm::RoundTrip };
    let benchmark = point(
        "socket-messages",
        "bytes in a message",
        message,
        Metric::ThousandPerSecond,
        suite,
        "One connection on which a message is sent back, then the next.",
    );
    everywhere(benchmark, load)
}

fn latency(rate: u32, suite: Suite) -> Benchmark {
    let load = SocketLoad { connections: 16, message: 64, rhythm: Rhythm::Fixed(u64::from(rate)) };
    let benchmark = point(
        "socket-latency",
        "messages a second",
        rate,
        Metric::Microseconds,
        suite,
        "Messages of 64 bytes at a fixed rate over 16 connections in turn, each sent back; the median time \
         from when a message was due to when it was back.",
    );
    everywhere(benchmark, load)
}

fn stream_sizes() -> Benchmark {
    let load = SocketLoad { connections: 1, message: 1 << 20, rhythm: Rhythm::Stream };
    let benchmark = single(
        "socket-stream-large",
        Metric::GigabitsPerSecond,
        Suite::Full,
        "One connection, written 1 MiB at a time.",
    );
    everywhere(benchmark, load)
}
