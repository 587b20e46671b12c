//! DPDK's testpmd at both ends of a memif link, on the same CPUs as ours, with the same ring.
//!
//! Rates are testpmd's own, packets between two looks at its counters by its own clock: the prompt's
//! thread shares the CPU with the forwarding one, so that an answer takes a while to get out.

use std::thread::sleep;

use anyhow::{Context as _, Result, ensure};
use kit::testpmd::{Testpmd, TestpmdOptions};
use kit::unique;

use super::{Plan, Sample, count};
use crate::benchmark::Direction;

/// One way: `txonly` to `rxonly`.
pub(super) fn one_way(plan: &Plan, direction: Direction, length: u32) -> Result<Sample> {
    let length = u16::try_from(length).context("testpmd makes packets of at most 65535 bytes")?;
    let (mut server, mut client) = pair(plan, true, 1)?;
    let (receiver, sender) = match direction {
        Direction::ServerToClient => (&mut client, &mut server),
        _ => (&mut server, &mut client),
    };
    receiver.forward("rxonly")?;
    receiver.start()?;
    sender.packet_segments(&[length])?;
    sender.forward("txonly")?;
    sender.start()?;
    let rate = rate(receiver, plan)?;
    sender.stop()?;
    let sent = sender.settled_stats()?;
    let received = receiver.settled_stats()?;
    ensure!(
        sent.tx_packets == received.rx_packets,
        "testpmd sent {} packets and received {}",
        sent.tx_packets,
        received.rx_packets
    );
    ensure!(
        received.rx_bytes == received.rx_packets * u64::from(length),
        "testpmd received packets of another length than {length}"
    );
    end(server, client);
    let details =
        [("frames sent", count(sent.tx_packets)), ("frames received", count(received.rx_packets))];
    Sample::new(rate / 1e6, details)
}

/// Both ways: `flowgen` at both ends, which takes what comes and makes as many as fit.
pub(super) fn both_ways(plan: &Plan, length: u32, queues: u16) -> Result<Sample> {
    let length = u16::try_from(length).context("testpmd makes packets of at most 65535 bytes")?;
    let (mut server, mut client) = pair(plan, true, queues)?;
    for end in [&mut server, &mut client] {
        end.packet_segments(&[length])?;
        end.forward("flowgen")?;
        end.start()?;
    }
    sleep(plan.warm_up);
    receive_rate(&mut server)?;
    receive_rate(&mut client)?;
    sleep(plan.length);
    let rates = [receive_rate(&mut server)?, receive_rate(&mut client)?];
    ensure!(rates.iter().all(|&it| it > 0.0), "one of the ways moved nothing: {rates:?}");
    // Neither can take what the other made last: packets of the end are not counted.
    end(server, client);
    Sample::new(rates.iter().sum::<f64>() / 1e6, [])
}

/// To and fro: both `io` with bursts of one packet, of which there is one.
pub(super) fn round_trip(plan: &Plan, length: u32) -> Result<Sample> {
    let length = u16::try_from(length).context("testpmd makes packets of at most 65535 bytes")?;
    let (mut server, mut client) = pair(plan, false, 1)?;
    for end in [&mut server, &mut client] {
        end.tell("set burst 1")?;
        end.packet_segments(&[length])?;
        end.forward("io")?;
    }
    server.start()?;
    client
        .command("start tx_first 1", |line| line.contains("io packet forwarding").then_some(()))?;
    let rate = rate(&mut client, plan)?;
    client.stop()?;
    server.stop()?;
    let (there, here) = (server.settled_stats()?, client.settled_stats()?);
    ensure!(
        there.rx_packets.abs_diff(here.rx_packets) <= 1,
        "more than one packet was under way: {there:?}, {here:?}"
    );
    end(server, client);
    Sample::new(1e6 / rate, [("round trips", count(here.rx_packets))])
}

/// A linked pair: the server on the first CPU, the client on the second.
fn pair(plan: &Plan, keeps_early: bool, queues: u16) -> Result<(Testpmd, Testpmd)> {
    let socket = unique("pmd");
    let (first, second) = (plan.cores.first, plan.cores.second);
    let server =
        TestpmdOptions { cpu: first, keeps_early, queues, ..TestpmdOptions::server(&socket) };
    let client =
        TestpmdOptions { cpu: second, keeps_early, queues, ..TestpmdOptions::client(&socket) };
    let mut server = Testpmd::on_host(&server)?;
    let mut client = Testpmd::on_host(&client)?;
    server.wait_link(true)?;
    client.wait_link(true)?;
    Ok((server, client))
}

/// Packets that a port receives per second, after the warm-up.
fn rate(receiver: &mut Testpmd, plan: &Plan) -> Result<f64> {
    sleep(plan.warm_up);
    receive_rate(receiver)?;
    sleep(plan.length);
    let rate = receive_rate(receiver)?;
    ensure!(rate > 0.0, "testpmd received nothing");
    Ok(rate)
}

/// Packets per second since the last look.
fn receive_rate(testpmd: &mut Testpmd) -> Result<f64> {
    let rate = testpmd.command("show port stats 0", |line| {
        let text = line.trim().strip_prefix("Rx-pps:")?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    rate.context("testpmd shows no rate")
}

/// Ends both. Forwarding stops before a peer goes, and yet a server may crash then (DPDK 22.11): that
/// is said, but the run is over and its counts were right.
fn end(mut server: Testpmd, mut client: Testpmd) {
    let stopped = server.stop().and_then(|()| client.stop());
    let ended = stopped.and_then(|()| client.quit()).and_then(|()| server.quit());
    if let Err(error) = ended {
        eprintln!("after a good run: {error:#}");
    }
}
