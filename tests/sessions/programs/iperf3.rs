//! iperf3: streams in parallel, against the direction of the connection, and both ways at once. Its
//! server makes a new listener for each test.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::process::Process;
use serde_json::Value;

use super::world::{Pairing, in_every_pairing, through_the_stack};

/// Bytes of one run.
const BYTES: &str = "100M";

const PORT: u16 = 5201;

const ROUNDS: u32 = 30;

const SOON: Duration = Duration::from_secs(30);

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

/// A server that says each time that it listens. It closes its listener after a test: who connects just before that is reset,
/// by kernels as by sessions.
pub(super) const SERVER: [&str; 3] = ["iperf3", "-s", "--forceflush"];

/// Waits until the server has made its listener for this test, the first being 1.
pub(super) fn until_it_listens(server: &Process, test: u32) -> Result<()> {
    let says = format!("(test #{test})");
    let what = format!("iperf3 listens {says}");
    server.line_after(0, SOON, &what, |line| line.contains(&says).then_some(()))
}

#[test]
fn iperf3_moves_streams_every_way() {
    in_every_pairing(|pairing| {
        let server = pairing.server.serve(pairing.agent, PORT, &SERVER)?;
        let runs: [&[&str]; 4] = [&[], &["-P", "8"], &["-R"], &["--bidir"]];
        pairing.check(|| {
            (1..).zip(runs).try_for_each(|(test, more)| {
                until_it_listens(&server, test)?;
                run(pairing, more)
            })
        })
    });
}

/// A stack and a kernel that wait for each other do so once in many runs.
#[test]
fn iperf3_ends_every_time_between_a_stack_and_a_kernel() {
    through_the_stack(|pairing| {
        let server = pairing.server.serve(pairing.agent, PORT, &SERVER)?;
        let address = pairing.server.address();
        let run = ["timeout", "60", "iperf3", "-c", address, "-n", "20M"];
        pairing.check(|| {
            for round in 0..ROUNDS {
                until_it_listens(&server, round + 1)?;
                pairing.client(&run).with_context(|| format!("round {round}"))?;
            }
            Ok(())
        })
    });
}
