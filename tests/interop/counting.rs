//! What one side sent, the other received: frame counts and bytes agree, for every shape of traffic.

use anyhow::{Context as _, Result, ensure};
use kit::peer::{End, Job, Peer, Waiting};
use kit::testpmd::{Testpmd, TestpmdOptions};
use memif::RegionPolicy;

use crate::{Foreign, interop};

/// Frames that make a case count.
const ENOUGH: u64 = 100_000;

/// One shape of traffic from testpmd.
struct Case {
    what: &'static str,
    /// Lengths of the segments of one packet.
    segments: &'static [u16],
    queues: u16,
    ring: u8,
    mbuf: u16,
}

const CASES: &[Case] = &[
    Case { what: "64 bytes", segments: &[64], queues: 1, ring: 10, mbuf: 2048 },
    Case { what: "64 bytes, two queues", segments: &[64], queues: 2, ring: 10, mbuf: 2048 },
    Case { what: "1518 bytes", segments: &[1518], queues: 1, ring: 10, mbuf: 2048 },
    Case { what: "small ring", segments: &[64], queues: 1, ring: 4, mbuf: 2048 },
    Case { what: "large ring", segments: &[64], queues: 1, ring: 14, mbuf: 2048 },
    Case {
        what: "9000 bytes in a chain",
        segments: &[2048, 2048, 2048, 2048, 808],
        queues: 1,
        ring: 14,
        mbuf: 2048,
    },
    Case {
        what: "3000 bytes in a chain, two queues",
        segments: &[2048, 952],
        queues: 2,
        ring: 14,
        mbuf: 2048,
    },
];

/// `--tx-offloads` that lets packets have several segments.
const MULTI_SEGMENT: &str = "--tx-offloads=0x8000";

fn options(foreign: Foreign, socket: &str, case: &Case) -> TestpmdOptions {
    TestpmdOptions {
        queues: case.queues,
        ring: case.ring,
        mbuf: case.mbuf,
        arguments: vec![MULTI_SEGMENT.to_owned()],
        ..foreign.options(socket)
    }
}

/// testpmd generates, we count.
fn receive(foreign: Foreign, case: &Case, waiting: Waiting) -> Result<()> {
    let socket = kit::unique("count");
    let mut ours = foreign.ours();
    if let End::Client(config) = &mut ours {
        config.receive_queues = case.queues;
        config.transmit_queues = case.queues;
        config.ring_size = memif::RingSize::from_log2(case.ring).context("a ring size")?;
    }
    let options = options(foreign, &socket, case);
    let (mut testpmd, peer) = match foreign {
        // A client of DPDK needs its server first.
        Foreign::Client => {
            let peer = Peer::start(&socket, ours, Job::Sink, waiting)?;
            (Testpmd::on_host(&options)?, peer)
        }
        Foreign::Server => {
            let testpmd = Testpmd::on_host(&options)?;
            (testpmd, Peer::start(&socket, ours, Job::Sink, waiting)?)
        }
    };
    testpmd.wait_link(true)?;
    peer.wait_links(1)?;
    testpmd.packet_segments(case.segments)?;
    if case.segments.len() > 1 {
        in_rounds(&mut testpmd, &peer)?;
    } else {
        testpmd.forward("txonly")?;
        testpmd.start()?;
        testpmd
            .wait_stats("testpmd sends", |it| it.tx_packets > ENOUGH)
            .with_context(|| format!("{:?} {:?}", peer.counts(), peer.words()))?;
        testpmd.stop()?;
    }
    let sent = testpmd.settled_stats()?;
    let received = peer.settled()?;
    let length: u64 = case.segments.iter().map(|&it| u64::from(it)).sum();
    ensure!(received.received == sent.tx_packets, "sent {sent:?}, received {received:?}");
    ensure!(received.received_bytes == received.received * length, "{received:?}");
    ensure!(received.faults == 0, "{:?}", peer.words());
    peer.stop()?;
    Ok(())
}

/// Sends in rounds that fit into the ring, each read before the next: DPDK 22.11 miscounts the free
/// slots when a chain meets a full ring, and overruns the ring from then on. (Our end takes that for
/// what it is, a broken ring, and drops the link.)
fn in_rounds(testpmd: &mut Testpmd, peer: &Peer) -> Result<()> {
    testpmd.forward("rxonly")?;
    for _ in 0..8 {
        testpmd.start_with_bursts(60)?;
        testpmd.stop()?;
        let sent = testpmd.settled_stats()?.tx_packets;
        peer.wait("the round is read", |it| it.received >= sent)?;
    }
    Ok(())
}

fn receive_all(foreign: Foreign, waiting: Waiting) -> Result<()> {
    interop(|| {
        for case in CASES {
            receive(foreign, case, waiting)
                .with_context(|| format!("{}, DPDK is the {foreign:?}", case.what))?;
        }
        Ok(())
    })
}

#[test]
fn from_a_dpdk_client_polling() -> Result<()> {
    receive_all(Foreign::Client, Waiting::Polling)
}

#[test]
fn from_a_dpdk_client_by_interrupt() -> Result<()> {
    receive_all(Foreign::Client, Waiting::Interrupt)
}

#[test]
fn from_a_dpdk_server_polling() -> Result<()> {
    receive_all(Foreign::Server, Waiting::Polling)
}

#[test]
fn from_a_dpdk_server_by_interrupt() -> Result<()> {
    receive_all(Foreign::Server, Waiting::Interrupt)
}

/// We generate, testpmd counts.
#[test]
fn towards_dpdk() -> Result<()> {
    interop(|| {
        for foreign in Foreign::BOTH {
            for length in [64, 1518, 9000] {
                send(foreign, length)
                    .with_context(|| format!("{length} bytes, DPDK is the {foreign:?}"))?;
            }
        }
        Ok(())
    })
}

fn send(foreign: Foreign, length: usize) -> Result<()> {
    let socket = kit::unique("send");
    let job = Job::Probe { lengths: vec![length], count: ENOUGH, window: u64::MAX };
    let start = || Peer::start(&socket, foreign.ours(), job.clone(), Waiting::Polling);
    let options = foreign.options(&socket);
    let (mut testpmd, peer) = match foreign {
        Foreign::Client => {
            let peer = start()?;
            (Testpmd::on_host(&options)?, peer)
        }
        Foreign::Server => (Testpmd::on_host(&options)?, start()?),
    };
    // Frames wait in the ring until the sink takes them: nothing is lost.
    testpmd.forward("rxonly")?;
    testpmd.start()?;
    peer.wait("we send all", |it| it.sent == ENOUGH)
        .with_context(|| format!("{:?}", testpmd.stats()))?;
    let seen = testpmd.wait_stats("testpmd received all", |it| it.rx_packets >= ENOUGH)?;
    ensure!(seen.rx_packets == ENOUGH, "{seen:?}");
    ensure!(seen.rx_bytes == ENOUGH * length as u64, "{seen:?}");
    peer.stop()?;
    Ok(())
}

/// A DPDK client that lends its packet buffers instead of copying; they cannot be sealed.
#[test]
fn from_a_zero_copy_client() -> Result<()> {
    interop(|| {
        let socket = kit::unique("zc");
        let mut ours = End::server();
        if let End::Server(config) = &mut ours {
            config.policy = RegionPolicy::Trusted;
        }
        let peer = Peer::start(&socket, ours, Job::Sink, Waiting::Polling)?;
        let options = TestpmdOptions {
            device: vec!["zero-copy=yes".to_owned()],
            eal: vec!["--single-file-segments".to_owned()],
            ..TestpmdOptions::client(&socket)
        };
        let mut testpmd = Testpmd::on_host(&options)?;
        testpmd.wait_link(true)?;
        testpmd.forward("txonly")?;
        testpmd.start()?;
        testpmd.wait_stats("testpmd sends", |it| it.tx_packets > ENOUGH)?;
        testpmd.stop()?;
        let (sent, received) = (testpmd.settled_stats()?, peer.settled()?);
        ensure!(received.received == sent.tx_packets, "sent {sent:?}, received {received:?}");
        Ok(())
    })
}
