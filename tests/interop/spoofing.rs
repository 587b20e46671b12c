//! What a vhost-user front end sends under addresses that are not its endpoint's is dropped, every frame of it, and
//! counted.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::lab::docker_test;
use kit::need::Need;
use kit::{Engine, Lab, wait};
use serde_json::Value;

use crate::vhost_user::{ENOUGH, ONE, Station, TWO, network_with};

const SOON: Duration = Duration::from_secs(20);

fn counted(lab: &Lab, station: &Station) -> Result<Value> {
    let lines = lab.agent.list("counters")?;
    lines.into_iter().find(|it| it["endpoint"] == *station.endpoint).context("no such endpoint")
}

/// One sends what DPDK generates, UDP from 198.18.0.1, in frames of these segments; `reason` must count all of it.
fn refused(
    lab: &Lab,
    one: &mut Station,
    two: &mut Station,
    reason: &str,
    segments: &[u16],
) -> Result<()> {
    let number = |line: &Value, key: &str| line[key].as_u64().unwrap_or(0);
    let before = (counted(lab, one)?, two.testpmd.stats()?.rx_packets);
    let start = one.testpmd.stats()?.tx_packets;
    one.testpmd.packet_segments(segments)?;
    one.testpmd.forward("txonly")?;
    one.testpmd.start()?;
    one.testpmd.wait_stats("testpmd sends", |it| it.tx_packets > start + ENOUGH)?;
    one.testpmd.stop()?;
    let sent = one.testpmd.settled_stats()?.tx_packets - start;
    // What testpmd has put into a ring it counts as sent.
    wait::until_ok(SOON, "the agent counts what was sent", || {
        let after = counted(lab, one)?;
        let taken = number(&after, "rx_frames") - number(&before.0, "rx_frames");
        let dropped = number(&after["drops"], reason) - number(&before.0["drops"], reason);
        ensure!((taken, dropped) == (sent, sent), "{reason}: sent {sent}: {after}");
        Ok(())
    })?;
    let received = two.testpmd.stats()?.rx_packets - before.1;
    // The gateway's kernel may say something to all, now and then.
    ensure!(received < 100, "{received} frames arrived");
    Ok(())
}

#[test]
fn forged_frames_of_a_front_end_are_dropped_and_counted() {
    if !Engine::Embedded.needed("VPP refuses antispoof=full") {
        return;
    }
    docker_test(&[Need::VirtioUser], |lab| {
        let network = network_with(lab, &[])?;
        let mut two = Station::start(lab, &network, TWO, ONE.1, |it| it.cpu = 0)?;
        two.testpmd.forward("rxonly")?;
        two.testpmd.start()?;
        let foreign = "02:42:0a:c9:09:63";
        for (mac, reason) in [(ONE.1, "spoofed-ip"), (foreign, "spoofed-mac")] {
            let mut one = Station::start(lab, &network, (ONE.0, mac), TWO.1, |_| {})?;
            // In one piece, and with a header that ends in the middle of one.
            for segments in [&[64][..], &[20, 1000]] {
                refused(lab, &mut one, &mut two, reason, segments)
                    .with_context(|| format!("from {mac}, segments {segments:?}"))?;
            }
        }
        Ok(())
    });
}
