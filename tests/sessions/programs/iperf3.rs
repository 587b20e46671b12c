//! iperf3: streams in parallel, against the direction of the connection, and both ways at once. Its
//! server makes a new listener for each test.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::world::{Pairing, in_every_pairing, through_the_stack};

/// Bytes of one run.
const BYTES: &str = "100M";

const PORT: u16 = 5201;

const ROUNDS: u32 = 30;

fn run(pairing: &Pairing<'_>, more: &[&str]) -> Result<()> {
    let mut command = vec!["iperf3", "-c", pairing.server.address(), "-n", BYTES, "-J"];
    command.extend(more);
    let output = pairing.client(&command).with_context(|| format!("{command:?}"))?;
    let report: Value = serde_json::from_str(&output).context("iperf3 prints JSON")?;
    let end = &report["end"];
    let bytes = |sum: &str| end[sum]["bytes"].as_u64().unwrap_or_default();
    let sums: &[&str] = if more.contains(&"--bidir") {
        // It ends when either direction has had enough.
        &["sum_received", "sum_received_bidir_reverse"]
    } else {
        &["sum_received"]
    };
    ensure!(report["error"].is_null(), "iperf3 says: {}", report["error"]);
    // It stops the clock and reads no further, so bytes that are on the way are not counted.
    let most = sums.iter().map(|sum| bytes(sum)).max().unwrap_or_default();
    ensure!(most > 50 << 20, "received {most} bytes: {end}");
    ensure!(sums.iter().all(|sum| bytes(sum) > 0), "a direction moved nothing: {end}");
    Ok(())
}

#[test]
fn iperf3_moves_streams_every_way() {
    in_every_pairing(|pairing| {
        let _server = pairing.server.serve(pairing.agent, PORT, &["iperf3", "-s"])?;
        let runs: [&[&str]; 4] = [&[], &["-P", "8"], &["-R"], &["--bidir"]];
        pairing.check(|| runs.iter().try_for_each(|more| run(pairing, more)))
    });
}

/// A stack and a kernel that wait for each other do so once in many runs.
#[test]
fn iperf3_ends_every_time_between_a_stack_and_a_kernel() {
    through_the_stack(|pairing| {
        let _server = pairing.server.serve(pairing.agent, PORT, &["iperf3", "-s"])?;
        let address = pairing.server.address();
        let run = ["timeout", "60", "iperf3", "-c", address, "-n", "20M"];
        pairing.check(|| {
            for round in 0..ROUNDS {
                pairing.client(&run).with_context(|| format!("round {round}"))?;
            }
            Ok(())
        })
    });
}
