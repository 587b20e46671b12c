//! Frames over memif, alone and through a bridge.

use super::{point, single};
use crate::benchmark::{
    Benchmark, Bound, Bridging, Direction, Frames, Metric, Program, Setup, Suite, Switch, Traffic,
    Waiting,
};

use Direction::{Both, ClientToServer, ServerToClient};
use Program::{Ours, Testpmd};

const TO_SERVER: &str = "memif-rs, client to server";
const TO_CLIENT: &str = "memif-rs, server to client";
const BOTH_WAYS: &str = "memif-rs, both ways";
const PMD_TO_SERVER: &str = "testpmd, client to server";
const PMD_TO_CLIENT: &str = "testpmd, server to client";
const LINE: &str = "one cache line, to and fro";
const RING: &str = "bare rings, to and fro";
const PMD_BOTH_WAYS: &str = "testpmd flowgen, both ways";

const BRIDGE: &str = "dockervpp bridge domain";
const VPP: &str = "VPP L2 bridge domain";

/// Lengths of frames, and the suite of each.
const LENGTHS: [(u32, Suite); 6] = [
    (64, Suite::Quick),
    (256, Suite::Full),
    (1518, Suite::Quick),
    (4096, Suite::Full),
    (16_384, Suite::Full),
    (65_536, Suite::Quick),
];

/// Longest frame that testpmd writes into one packet buffer with its default pool.
const PMD_LONGEST: u32 = 2048;

pub(super) fn memif() -> Vec<Benchmark> {
    let mut all = Vec::new();
    all.extend(LENGTHS.map(|(length, suite)| one_way(length, suite)));
    all.extend([1, 2, 4].map(both_ways));
    all.extend(waiting_one_way());
    all.push(round_trip());
    all.extend([Waiting::Adaptive, Waiting::Interrupt].map(waiting_round_trip));
    all.extend(paced());
    all
}

fn frames(program: Program, direction: Direction, length: u32) -> Frames {
    Frames { program, direction, length, queues: 1, waiting: Waiting::Polling }
}

fn one_way(length: u32, suite: Suite) -> Benchmark {
    let about = format!(
        "{length}-byte frames from one process to another: one queue, ring of 1024 slots of 2048 bytes \
         (8192 for frames above 16 KiB), batches of 32, both polling, one copy in and one copy out into private memory; counted by the \
         receiver. testpmd (txonly, rxonly) moreover writes 42 bytes of headers into each frame and \
         manages a packet pool."
    );
    let one = |program, direction| Setup::Frames(frames(program, direction, length));
    let benchmark = point("memif-one-way", "bytes in a frame", length, Metric::Mpps, suite, &about)
        .subject(TO_SERVER, one(Ours, ClientToServer));
    if length > PMD_LONGEST {
        return benchmark.subject(TO_CLIENT, one(Ours, ServerToClient));
    }
    let benchmark = benchmark
        .peer(PMD_TO_SERVER, one(Testpmd, ClientToServer))
        .subject(TO_CLIENT, one(Ours, ServerToClient))
        .peer(PMD_TO_CLIENT, one(Testpmd, ServerToClient));
    let bound = match length {
        64 => Bound::AtLeast(2.0),
        1518 => Bound::AtLeast(1.3),
        _ => return benchmark.shown(TO_SERVER, PMD_TO_SERVER).shown(TO_CLIENT, PMD_TO_CLIENT),
    };
    benchmark.ratio(TO_SERVER, PMD_TO_SERVER, bound).ratio(TO_CLIENT, PMD_TO_CLIENT, bound)
}

fn both_ways(queues: u16) -> Benchmark {
    let setup = |program| Setup::Frames(Frames { queues, ..frames(program, Both, 64) });
    let suite = if queues == 1 { Suite::Quick } else { Suite::Full };
    let benchmark = point(
        "memif-both-ways",
        "queues each way",
        queues.into(),
        Metric::Mpps,
        suite,
        "64-byte frames both ways at once between two polling processes, each of which serves all of its \
         queues in turn on its CPU; frames received, both ends together. testpmd in its mode flowgen \
         makes a header with checksum for each frame.",
    )
    .subject(BOTH_WAYS, setup(Ours));
    if queues > 1 {
        return benchmark;
    }
    benchmark.peer(PMD_BOTH_WAYS, setup(Testpmd)).shown(BOTH_WAYS, PMD_BOTH_WAYS)
}

fn waiting_one_way() -> [Benchmark; 2] {
    let of = |waiting, name: &'static str, about: &str| {
        let frames = Frames { waiting, ..frames(Ours, ClientToServer, 64) };
        single(name, Metric::Mpps, Suite::Full, about).subject(TO_SERVER, Setup::Frames(frames))
    };
    [
        of(
            Waiting::Adaptive,
            "memif-one-way-adaptive",
            "As memif-one-way-64, but the receiver polls for 50 µs after the last frame and then sleeps.",
        ),
        of(
            Waiting::Interrupt,
            "memif-one-way-interrupt",
            "As memif-one-way-64, but the receiver sleeps whenever its ring is empty.",
        ),
    ]
}

fn round_trip() -> Benchmark {
    let of =
        |program| Setup::RoundTrip { program, length: 64, waiting: Waiting::Polling, fault: None };
    single(
        "memif-round-trip",
        Metric::Microseconds,
        Suite::Quick,
        "One 64-byte frame that two polling processes send back to each other; each copies it out and in. \
         The mean of all rounds of a run. The bounds: two threads on the same CPUs that hand one cache line to \
         and fro and do nothing else, and two that hand a frame to and fro through rings laid out as memif's, without checks.",
    )
    .subject("memif-rs", of(Ours))
    .peer("testpmd", of(Testpmd))
    .peer(LINE, Setup::CacheLine)
    .peer(RING, Setup::BareRing)
    .ratio("memif-rs", "testpmd", Bound::AtMost(0.5))
    .shown("memif-rs", RING)
    .shown("testpmd", RING)
    .shown("memif-rs", LINE)
    .shown("testpmd", LINE)
}

fn waiting_round_trip(waiting: Waiting) -> Benchmark {
    let (name, about) = match waiting {
        Waiting::Interrupt => (
            "memif-round-trip-interrupt",
            "As memif-round-trip, but both ends sleep until a frame comes.",
        ),
        _ => (
            "memif-round-trip-adaptive",
            "As memif-round-trip, but both ends poll for 50 µs after the last frame and then sleep.",
        ),
    };
    let setup = Setup::RoundTrip { program: Ours, length: 64, waiting, fault: None };
    single(name, Metric::Microseconds, Suite::Full, about).subject("memif-rs", setup)
}

/// Latency over load.
fn paced() -> Vec<Benchmark> {
    let rates: [(u32, Suite); 5] = [
        (10_000, Suite::Quick),
        (100_000, Suite::Full),
        (1_000_000, Suite::Quick),
        (4_000_000, Suite::Full),
        (8_000_000, Suite::Quick),
    ];
    let one = |(rate, suite)| {
        let setup =
            |waiting| Setup::Paced { length: 64, rate: u64::from(rate), waiting, fault: None };
        point(
            "memif-latency",
            "frames a second",
            rate,
            Metric::Microseconds,
            suite,
            "64-byte frames at a fixed rate to a process that sends them back; the median time from when a \
             frame was due to when it was back. The sender polls; the other end polls or sleeps.",
        )
        .subject("memif-rs, polling", setup(Waiting::Polling))
        .subject("memif-rs, adaptive", setup(Waiting::Adaptive))
        .subject("memif-rs, interrupt", setup(Waiting::Interrupt))
    };
    rates.into_iter().map(one).collect()
}

pub(super) fn bridge() -> Vec<Benchmark> {
    let mut all = vec![two_ports("bridge-64", 64), two_ports("bridge-1518", 1518)];
    let ports = [(2, Suite::Quick), (4, Suite::Full), (16, Suite::Full), (64, Suite::Quick)];
    all.extend(ports.map(|(ports, suite)| by_ports(ports, suite)));
    all.extend(ports.map(|(ports, suite)| flood(ports, suite)));
    let addresses = [
        (10, Suite::Quick),
        (100, Suite::Full),
        (1000, Suite::Full),
        (10_000, Suite::Full),
        (100_000, Suite::Quick),
    ];
    all.extend(addresses.map(|(addresses, suite)| by_addresses(addresses, suite)));
    all
}

fn unicast(ports: u16, addresses: u32, length: u16) -> Bridging {
    Bridging { ports, addresses, traffic: Traffic::Unicast, length }
}

fn two_ports(name: &'static str, length: u16) -> Benchmark {
    let about = format!(
        "Two memif clients, driven by one thread, send {length}-byte frames to each other through a bridge \
         domain with one worker on the other core; frames delivered, both ways together. The cost of a \
         frame is the worker's CPU time, its polling included."
    );
    let setup = |switch| Setup::Bridge { switch, bridging: unicast(2, 2, length) };
    single(name, Metric::Mpps, Suite::Quick, &about)
        .subject(BRIDGE, setup(Switch::Ours))
        .peer(VPP, setup(Switch::Vpp))
        .ratio(BRIDGE, VPP, Bound::AtLeast(1.5))
}

const METRIC: Metric = Metric::NanosecondsPerPacket;

/// Our bridge at each point of a curve, and VPP at the ends: it is started for each run.
fn scaling(benchmark: Benchmark, bridging: Bridging) -> Benchmark {
    let setup = |switch| Setup::Bridge { switch, bridging };
    let is_end = benchmark.suite == Suite::Quick;
    let benchmark = benchmark.subject(BRIDGE, setup(Switch::Ours));
    if is_end { benchmark.peer(VPP, setup(Switch::Vpp)).shown(BRIDGE, VPP) } else { benchmark }
}

const SCALING: &str = "The time of the worker for a frame, its polling included.";

fn by_ports(ports: u16, suite: Suite) -> Benchmark {
    let about = format!(
        "64-byte frames between the ports of one bridge domain, each port sending to the next; one thread \
         drives all clients. {SCALING}"
    );
    let bridging = unicast(ports, u32::from(ports), 64);
    scaling(point("bridge-ports", "ports", ports.into(), METRIC, suite, &about), bridging)
}

fn flood(ports: u16, suite: Suite) -> Benchmark {
    let about = format!(
        "64-byte broadcasts from one port to all others of a bridge domain; each copy counts as a frame. \
         {SCALING}"
    );
    let bridging = Bridging { ports, addresses: ports.into(), traffic: Traffic::Flood, length: 64 };
    scaling(point("bridge-flood", "ports", ports.into(), METRIC, suite, &about), bridging)
}

fn by_addresses(addresses: u32, suite: Suite) -> Benchmark {
    let about = format!(
        "64-byte frames between two ports, each frame from and to another of the domain's addresses, half of \
         them behind each port. All were learnt before. {SCALING}"
    );
    let bridging = unicast(2, addresses, 64);
    let axis = "addresses in the FDB";
    scaling(point("bridge-addresses", axis, addresses, METRIC, suite, &about), bridging)
}
