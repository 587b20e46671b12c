//! Unmodified programs over VPP's TCP: ours, VPP's own, and the same programs on sessions in shared memory.

use super::programs::VCL;
use super::single;
use crate::benchmark::{Benchmark, Bound, Joint, Metric, PeerKind, Setup, Suite, VclWay, Work};

/// The processes that are attached to VPP copy between shared memory and VPP's queues.
const OVER_VCL: &str = "dockervpp sessions, tcp=vcl";
/// The agent's network stacks at both ends, and VPP between them.
const OVER_STACKS: &str = "dockervpp sessions, tcp=stack";
const SESSIONS: &str = "dockervpp sessions, shared memory";
const VCL_GATEWAYS: &str = "VPP's VCL, preloaded, by the same bridges";

const EMBEDDED: Joint = Joint::Ours { attach: "userspace", server: true, client: true };

/// Why sockperf has no figure with VPP's own library.
const NO_SOCKPERF: &str = "VPP 26.06 refuses what sockperf asks of a connected TCP socket: sendto with an address, and recvfrom \
     with the flags that it gives";

pub(super) fn all() -> Vec<Benchmark> {
    vec![stream(), ping_pong(), redis()]
}

/// Ours over VPP, and on sessions in shared memory.
fn ours(name: &'static str, metric: Metric, about: &str, work: Work) -> Benchmark {
    let about = format!(
        "{about} The containers are on two networks of one agent, between which the operator has routes in VPP; all packets \
         go through VPP, which its counters have to show. VPP's main thread has no CPU of its own."
    );
    single(name, metric, Suite::Full, &about)
        .subject(OVER_VCL, Setup::Routed { work, tcp: "vcl" })
        .subject(OVER_STACKS, Setup::Routed { work, tcp: "stack" })
        .peer(SESSIONS, Setup::Programs { work, joint: EMBEDDED })
        .shown(OVER_VCL, SESSIONS)
        .shown(OVER_STACKS, SESSIONS)
}

/// The same beside VPP's own library, through the same TCP, by two ways.
fn beside_vpp(benchmark: Benchmark, work: Work) -> Benchmark {
    benchmark
        .peer(VCL, Setup::Vcl { work, way: VclWay::Pipe })
        .peer(VCL_GATEWAYS, Setup::Vcl { work, way: VclWay::Gateways })
        .ratio(OVER_VCL, VCL, Bound::AtLeast(1.0))
        .shown(OVER_VCL, VCL_GATEWAYS)
        .shown(OVER_STACKS, VCL)
}

fn stream() -> Benchmark {
    let about = "iperf3, one TCP stream from one container to another; as the receiver counts it.";
    let benchmark = ours("vpp-tcp-stream", Metric::GigabitsPerSecond, about, Work::Stream);
    beside_vpp(benchmark, Work::Stream)
}

fn ping_pong() -> Benchmark {
    let work = Work::PingPong { per_mille: 500 };
    let about = "sockperf ping-pong, 64 bytes over TCP: the median round trip.";
    ours("vpp-tcp-ping-pong", Metric::Microseconds, about, work)
        .peer(VCL, Setup::Absent { peer: PeerKind::Vpp, reason: NO_SOCKPERF })
}

fn redis() -> Benchmark {
    let work = Work::Redis { clients: 1, pipeline: 1, requests: 5000 };
    let about = "redis-benchmark -t get -c 1 against redis-server: one request at a time, the ping-pong that VPP's own library can \
         do, requests per second.";
    beside_vpp(ours("vpp-tcp-redis-1", Metric::ThousandPerSecond, about, work), work)
}
