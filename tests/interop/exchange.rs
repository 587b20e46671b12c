//! What one testpmd sends to another through an agent: what both say, and what the agent counts at their endpoints.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::lab::Lab;
use kit::testpmd::Testpmd;
use kit::wait;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(30);

/// Frames received, delivered and dropped on the port of an endpoint.
pub(crate) fn counters(lab: &Lab, endpoint: &str) -> Result<(u64, u64, u64)> {
    let lines = lab.agent.list("counters")?;
    let line = lines.iter().find(|it| it["endpoint"] == endpoint).context("no such endpoint")?;
    let number = |key: &str| line[key].as_u64().with_context(|| line.to_string());
    let drops = line["drops"].as_object().context("drops by reason")?;
    let drops = drops.values().filter_map(Value::as_u64).sum();
    Ok((number("rx_frames")?, number("tx_frames")?, drops))
}

/// Has the first send more than `enough` packets to the second, each with its endpoint; all four counts must agree.
pub(crate) fn exchange(
    lab: &Lab,
    [(sender, from), (receiver, to)]: [(&mut Testpmd, &str); 2],
    segments: &[u16],
    enough: u64,
) -> Result<()> {
    let before = (counters(lab, from)?, counters(lab, to)?);
    let start = (sender.stats()?.tx_packets, receiver.stats()?.rx_packets);
    receiver.forward("rxonly")?;
    receiver.start()?;
    sender.packet_segments(segments)?;
    sender.forward("txonly")?;
    sender.start()?;
    sender.wait_stats("testpmd sends", |it| it.tx_packets > start.0 + enough)?;
    sender.stop()?;
    let sent = sender.settled_stats()?.tx_packets - start.0;
    let received = receiver.settled_stats()?.rx_packets - start.1;
    receiver.stop()?;
    // VPP may have frames in hand still, and takes its time on a busy machine.
    let drops = wait::until_ok(LIMIT, "the counts agree", || {
        let now = (counters(lab, from)?, counters(lab, to)?);
        let (taken, delivered) = (now.0.0 - before.0.0, now.1.1 - before.1.1);
        let drops = (now.0.2 - before.0.2) + (now.1.2 - before.1.2);
        ensure!(taken == sent, "sent {sent}, taken {taken}");
        ensure!(delivered == received, "delivered {delivered}, received {received}");
        let left = delivered + drops;
        ensure!(taken == left, "taken {taken}, delivered {delivered}, dropped {drops}");
        Ok(drops)
    })?;
    ensure!(received > 0, "nothing arrived; {drops} drops");
    Ok(())
}
