//! Unmodified programs in two containers.

use super::single;
use crate::benchmark::{Benchmark, Bound, Joint, Metric, Overlay, Setup, Suite, VclWay, Work};

const SESSIONS: &str = "dockervpp sessions";
const SESSIONS_AUTO: &str = "dockervpp sessions, kind auto";
const SESSION_TO_TAP: &str = "dockervpp, session to TAP, kind auto";
const KERNEL: &str = "kernel TCP, Docker's bridge driver";
const MEMORY: &str = "two threads copying through one ring";
pub(super) const VCL: &str = "VPP's VCL, preloaded";
const VCL_NATIVE: &str = "VPP's VCL, native cut-through";
const STACK: &str = "dockervpp sessions over two network stacks";
const STACK_BOUND: &str = "two smoltcp stacks in one process";

const AUTO: Joint = Joint::Ours { attach: "auto", server: true, client: true };
const USERSPACE: Joint = Joint::Ours { attach: "userspace", server: true, client: true };

pub(super) fn all() -> Vec<Benchmark> {
    vec![
        stream(),
        stream_to_tap(),
        stream_over_stacks(),
        ping_pong("session-ping-pong-p50", 500, "the median round trip"),
        ping_pong("session-ping-pong-p99", 990, "the round trip that 99 of 100 do not exceed"),
        redis("session-redis-50", 50, 1, Some(Bound::AtLeast(1.2)), 8.0),
        redis("session-redis-1", 1, 1, Some(Bound::AtLeast(4.0)), 2.0),
        redis("session-redis-pipelined", 50, 16, None, 2.0),
        web("session-web", true),
        web("session-connections", false),
    ]
}

/// The same unmodified programs in the same two containers, on sessions and on the kernel's TCP.
fn programs(
    name: &'static str,
    metric: Metric,
    about: &str,
    work: Work,
    bound: Bound,
) -> Benchmark {
    single(name, metric, Suite::Quick, about)
        .subject(SESSIONS, Setup::Programs { work, joint: USERSPACE })
        .peer(KERNEL, Setup::Programs { work, joint: Joint::DockerBridge })
        .ratio(SESSIONS, KERNEL, bound)
}

fn stream() -> Benchmark {
    programs(
        "session-stream",
        Metric::GigabitsPerSecond,
        "iperf3, one TCP stream between two containers, one on each CPU; as the receiver counts it. VPP's \
         programs run on the host beside a VPP that sleeps between its rounds. The bound: two threads on the same CPUs that copy 128 KiB at a time into and out of one ring of \
         256 KiB.",
        Work::Stream,
        Bound::AtLeast(5.0),
    )
    .subject(SESSIONS_AUTO, Setup::Programs { work: Work::Stream, joint: AUTO })
    .peer(MEMORY, Setup::MemoryCopy)
    .peer(VCL, Setup::Vcl { work: Work::Stream, way: VclWay::CutThrough })
    .peer(VCL_NATIVE, Setup::VclNative)
    .ratio(SESSIONS_AUTO, KERNEL, Bound::AtLeast(5.0))
    .ratio(SESSIONS, MEMORY, Bound::AtLeast(0.4))
    .ratio(SESSIONS, VCL, Bound::AtLeast(5.0))
    .ratio(SESSIONS, VCL_NATIVE, Bound::AtLeast(1.0))
}

fn stream_to_tap() -> Benchmark {
    let joint = Joint::Ours { attach: "auto", server: false, client: true };
    single(
        "session-stream-to-tap",
        Metric::GigabitsPerSecond,
        Suite::Quick,
        "The same from a container with the preload library to an ordinary one.",
    )
    .subject(SESSION_TO_TAP, Setup::Programs { work: Work::Stream, joint })
    .peer(KERNEL, Setup::Programs { work: Work::Stream, joint: Joint::DockerBridge })
    .ratio(SESSION_TO_TAP, KERNEL, Bound::AtLeast(0.7))
}

fn stream_over_stacks() -> Benchmark {
    let overlay = Overlay::Ours { attach: "userspace", shim: true };
    single(
        "session-stream-over-stacks",
        Metric::GigabitsPerSecond,
        Suite::Quick,
        "iperf3 from a container of one host to one of another, both with the preload library: a session on either side, \
         two agents' network stacks and switches between them, and VXLAN over a veth pair that takes 9000 bytes. The \
         bound: two smoltcp stacks on one thread that hand frames of 9000 bytes to each other.",
    )
    .subject(STACK, Setup::Hosts { overlay, link: 9000 })
    .peer(STACK_BOUND, Setup::StackPair)
    .ratio(STACK, STACK_BOUND, Bound::AtLeast(0.3))
}

fn ping_pong(name: &'static str, per_mille: u16, what: &str) -> Benchmark {
    let about = format!(
        "sockperf ping-pong, 64 bytes over TCP, at most 250,000 messages a second: {what}."
    );
    let work = Work::PingPong { per_mille };
    programs(name, Metric::Microseconds, &about, work, Bound::AtMost(0.333))
}

fn redis(
    name: &'static str,
    clients: u16,
    pipeline: u16,
    vcl: Option<Bound>,
    factor: f64,
) -> Benchmark {
    let about = format!(
        "redis-benchmark -t get -c {clients} -P {pipeline} against redis-server, requests per second."
    );
    let work = |requests| Work::Redis { clients, pipeline, requests };
    // A client that asks one at a time waits about a millisecond for each answer on VCL.
    let (requests, on_vcl) = if clients == 1 { (50_000, 5_000) } else { (200_000, 200_000) };
    let (metric, bound) = (Metric::ThousandPerSecond, Bound::AtLeast(factor));
    let benchmark = programs(name, metric, &about, work(requests), bound);
    match vcl {
        Some(bound) => {
            let peer = Setup::Vcl { work: work(on_vcl), way: VclWay::CutThrough };
            benchmark.peer(VCL, peer).ratio(SESSIONS, VCL, bound)
        }
        None => benchmark,
    }
}

fn web(name: &'static str, keep_alive: bool) -> Benchmark {
    let about = if keep_alive {
        "wrk, one thread and 50 connections that stay, asking nginx with one worker for a page of 612 bytes."
    } else {
        "The same with a connection for each request (`Connection: close`): connections per second."
    };
    let (work, bound) = (Work::Web { keep_alive }, Bound::AtLeast(2.0));
    programs(name, Metric::ThousandPerSecond, about, work, bound)
}
