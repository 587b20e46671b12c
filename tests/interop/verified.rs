//! testpmd sends our numbered frames back: every byte is checked, and nothing may be missing.

use anyhow::{Context as _, Result, ensure};
use kit::peer::{Counts, End, Job, Peer, Waiting};
use kit::testpmd::{Testpmd, TestpmdOptions};

use crate::{Foreign, interop};

/// Frames of a case; indices are 16 bits wide, so they wrap several times.
const COUNT: u64 = 300_000;

/// Frames on the way: below the smallest ring used here, so that nothing has a reason to get lost.
const WINDOW: u64 = 200;

fn echo(
    foreign: Foreign,
    ours: End,
    lengths: &[usize],
    waiting: Waiting,
    options: impl Fn(TestpmdOptions) -> TestpmdOptions,
) -> Result<Counts> {
    let socket = kit::unique("echo");
    let job = Job::Probe { lengths: lengths.to_vec(), count: COUNT, window: WINDOW };
    let options = options(foreign.options(&socket));
    let start = || Peer::start(&socket, ours, job.clone(), waiting);
    let (mut testpmd, peer) = match foreign {
        Foreign::Client => {
            let peer = start()?;
            (Testpmd::on_host(&options)?, peer)
        }
        Foreign::Server => (Testpmd::on_host(&options)?, start()?),
    };
    testpmd.forward("macswap")?;
    testpmd.start()?;
    let counts = peer
        .wait("all frames are back", |it| it.received == COUNT)
        .with_context(|| format!("{:?}", testpmd.forward_stats()))?;
    ensure!(counts.corrupt == 0 && counts.reordered == 0 && counts.faults == 0, "{counts:?}");
    ensure!(counts.sent == COUNT, "{counts:?}");
    peer.stop()
}

fn both(lengths: &[usize], waiting: Waiting) -> Result<()> {
    interop(|| {
        for foreign in Foreign::BOTH {
            let multi_segment = |mut options: TestpmdOptions| {
                options.arguments.push("--tx-offloads=0x8000".to_owned());
                options
            };
            echo(foreign, foreign.ours(), lengths, waiting, multi_segment)
                .with_context(|| format!("DPDK is the {foreign:?}"))?;
        }
        Ok(())
    })
}

#[test]
fn small_frames() -> Result<()> {
    both(&[64], Waiting::Polling)
}

#[test]
fn every_length_in_turn() -> Result<()> {
    let lengths: Vec<usize> = (46..=1600).step_by(7).collect();
    both(&lengths, Waiting::Polling)
}

#[test]
fn sleeping_between_frames() -> Result<()> {
    both(&[64, 1518], Waiting::Interrupt)
}

/// Chains of buffers, then single ones: DPDK 22.11 leaves old NEXT flags in descriptors that it used
/// for a chain, which must not join later frames to each other.
#[test]
fn large_then_small_frames() -> Result<()> {
    both(&[9000, 64, 64, 64, 4500, 2049, 64, 1518], Waiting::Polling)
}

#[test]
fn two_queues() -> Result<()> {
    interop(|| {
        for foreign in Foreign::BOTH {
            let mut ours = foreign.ours();
            if let End::Client(config) = &mut ours {
                config.transmit_queues = 2;
                config.receive_queues = 2;
            }
            let two = |options| TestpmdOptions { queues: 2, ..options };
            echo(foreign, ours, &[64, 300], Waiting::Polling, two)
                .with_context(|| format!("DPDK is the {foreign:?}"))?;
        }
        Ok(())
    })
}

#[test]
fn large_buffers_of_the_client() -> Result<()> {
    interop(|| {
        let large = |options| TestpmdOptions { buffer: 9216, mbuf: 9216, ..options };
        echo(Foreign::Client, End::server(), &[9000, 64], Waiting::Polling, large)?;
        Ok(())
    })
}
