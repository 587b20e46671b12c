//! TCP between ordinary containers: segmentation and checksum offloads carry it, and every byte
//! arrives as it was sent.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::{Container, Image, Network, wait};
use serde_json::Value;

use crate::kinds::{Kind, each_kind};

const SOON: Duration = Duration::from_secs(15);

/// How long a transfer may take.
const PATIENCE: Duration = Duration::from_mins(2);

const PORT: &str = "5001";

each_kind!(
    hundred_megabytes_arrive_unchanged,
    jumbo_network_carries_tcp,
    small_mtu_carries_tcp,
    tcp_works_again_after_a_crash_of_the_agent,
    open_connection_survives_a_crash_of_the_agent,
);

fn result(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

/// Sends `megabytes` from `server` to `client` and compares size and checksum.
fn transfer(
    server: &Container,
    client: &Container,
    network: &Network,
    megabytes: u64,
) -> Result<()> {
    let address = server.address(network)?;
    client.pings(address, SOON)?;
    let sending = server.exec_start(&["netprobe", "serve", PORT, &megabytes.to_string()])?;
    let from = format!("{address}:{PORT}");
    let received = wait::until_ok(PATIENCE, "the transfer succeeds", || {
        client.exec_ok(&["netprobe", "fetch", &from])
    })?;
    let received = result(&received).with_context(|| received.clone())?;
    let sent = sending.line_after(0, PATIENCE, "the sender is done", result)?;
    ensure!(received["bytes"] == megabytes << 20, "received {received}");
    ensure!(sent["checksum"] == received["checksum"], "sent {sent}, received {received}");
    Ok(())
}

fn pair(network: &Network) -> Result<(Container, Container)> {
    let image = Image::examples()?;
    Ok((Container::idle(&image, network)?, Container::idle(&image, network)?))
}

fn hundred_megabytes_arrive_unchanged(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&[])?;
        let (one, two) = pair(&network)?;
        transfer(&one, &two, &network, 100)?;
        transfer(&two, &one, &network, 100)
    });
}

fn jumbo_network_carries_tcp(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&["-o", "mtu=9000"])?;
        let (one, two) = pair(&network)?;
        transfer(&one, &two, &network, 50)
    });
}

fn small_mtu_carries_tcp(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&["-o", "mtu=576"])?;
        let (one, two) = pair(&network)?;
        transfer(&one, &two, &network, 10)
    });
}

fn tcp_works_again_after_a_crash_of_the_agent(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&[])?;
        let (one, two) = pair(&network)?;
        transfer(&one, &two, &network, 10)?;
        lab.crash()?;
        transfer(&one, &two, &network, 10)
    });
}

/// The connection itself, not only the next one, outlives the agent.
fn open_connection_survives_a_crash_of_the_agent(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&[])?;
        let (one, two) = pair(&network)?;
        let address = one.address(&network)?;
        two.pings(address, SOON)?;
        let sending = one.exec_start(&["netprobe", "serve", PORT, "400"])?;
        let from = format!("{address}:{PORT}");
        let receiving = wait::until_ok(SOON, "the sender listens", || {
            let listening = one.exec_ok(&["netstat", "-ltn"])?;
            ensure!(listening.contains(PORT), "not yet");
            two.exec_start(&["netprobe", "fetch", &from])
        })?;
        wait::until_ok(SOON, "the transfer is under way", || {
            let open = one.exec_ok(&["netstat", "-tn"])?;
            ensure!(open.contains("ESTABLISHED"), "not yet");
            Ok(())
        })?;
        lab.crash()?;
        let received = receiving.line_after(0, PATIENCE, "all arrived", result)?;
        let sent = sending.line_after(0, PATIENCE, "the sender is done", result)?;
        ensure!(received["bytes"] == 400_u64 << 20, "received {received}");
        ensure!(sent["checksum"] == received["checksum"], "sent {sent}, received {received}");
        Ok(())
    });
}
