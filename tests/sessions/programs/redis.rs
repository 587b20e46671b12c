//! Redis: every default test of its benchmark, pipelining, big values, and publishing.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::world::{Pairing, in_every_pairing};

const SOON: Duration = Duration::from_secs(20);

const PORT: u16 = 6379;

/// Tests that `redis-benchmark` 6 and newer runs by default.
const DEFAULT_TESTS: usize = 19;

fn benchmark(pairing: &Pairing<'_>, more: &[&str]) -> Result<()> {
    let mut command = vec!["redis-benchmark", "-h", pairing.server.address(), "--csv"];
    command.extend(more);
    let output = pairing.client(&command)?;
    let rates = output.lines().filter_map(|line| line.split('"').nth(3)?.parse::<f64>().ok());
    let done = rates.filter(|&rate| rate > 0.0).count();
    ensure!(done >= DEFAULT_TESTS, "{done} tests were done: {output}");
    Ok(())
}

/// A value of a megabyte comes back as it was put, and the server counted every command.
fn values(pairing: &Pairing<'_>) -> Result<()> {
    let cli = format!("redis-cli -h {}", pairing.server.address());
    pairing.client_shell(&format!(
        "head -c 1000000 /dev/urandom >/tmp/v; {cli} -x set big </tmp/v >/dev/null; \
         {cli} --raw get big | head -c 1000000 | cmp - /tmp/v"
    ))?;
    pairing.client_shell(&format!("{cli} del counter >/dev/null"))?;
    pairing.client_shell(&format!("{cli} -r 500 incr counter >/dev/null"))?;
    let counter = pairing.client_shell(&format!("{cli} get counter"))?;
    ensure!(counter.trim_matches('"') == "500", "500 increments made {counter}");
    Ok(())
}

fn publishing(pairing: &Pairing<'_>) -> Result<()> {
    let address = pairing.server.address();
    let command = ["redis-cli", "-h", address, "subscribe", "news"];
    let subscriber = pairing.client.container.exec_start(&command)?;
    let has = |word: &'static str| move |line: &str| line.contains(word).then_some(());
    subscriber.line_after(0, SOON, "it subscribed", has("subscribe"))?;
    for number in 0..20 {
        let text = format!("item-{number}");
        let heard = pairing.client(&["redis-cli", "-h", address, "publish", "news", &text])?;
        ensure!(heard.ends_with('1'), "{heard} heard it");
    }
    subscriber.line_after(0, SOON, "the last item comes", has("item-19"))?;
    let heard = subscriber.output().iter().filter(|line| line.contains("item-")).count();
    ensure!(heard == 20, "{heard} of 20 items were heard");
    Ok(())
}

#[test]
fn redis_serves_its_benchmark_values_and_subscribers() {
    in_every_pairing(|pairing| {
        let command = "cd /tmp && exec redis-server --save '' --appendonly no --protected-mode no";
        let _server = pairing.server.serve(pairing.agent, PORT, &["sh", "-c", command])?;
        pairing.check(|| {
            benchmark(pairing, &["-n", "500", "-c", "20"])?;
            benchmark(pairing, &["-n", "2000", "-c", "20", "-P", "16"])?;
            values(pairing)?;
            publishing(pairing)
        })
    });
}
