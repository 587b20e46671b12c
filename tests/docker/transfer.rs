//! TCP between ordinary containers: segmentation and checksum offloads carry it, and every byte
//! arrives as it was sent.

use std::time::Duration;

use anyhow::{Result, ensure};
use kit::lab::docker_test;
use kit::{Container, Network, wait};

const SOON: Duration = Duration::from_secs(15);

/// Serves a random file over HTTP from `server`, fetches it from `client`, compares checksums.
fn transfer(server: &Container, client: &Container, network: &Network, size: &str) -> Result<()> {
    let make = format!("dd if=/dev/urandom of=/tmp/data bs=1M count={size} 2>/dev/null");
    server.exec_ok(&["sh", "-c", &make])?;
    server.exec_ok(&["httpd", "-h", "/tmp"])?;
    let sent = server.exec_ok(&["sha256sum", "/tmp/data"])?;
    let address = server.address(network)?;
    client.pings(address, SOON)?;
    let fetch = format!("wget -q -T 60 -O - http://{address}/data | sha256sum");
    let received = wait::until_ok(SOON, "the server serves", || {
        let text = client.exec_ok(&["sh", "-c", &fetch])?;
        // The checksum of nothing: the connection was refused.
        ensure!(!text.starts_with("e3b0c442"), "nothing came");
        Ok(text)
    })?;
    let sum = |text: &str| text.split_whitespace().next().map(str::to_owned);
    ensure!(sum(&sent) == sum(&received), "sent {sent}, received {received}");
    Ok(())
}

#[test]
fn hundred_megabytes_arrive_unchanged() {
    docker_test(&[], |lab| {
        let (network, image) = (lab.network(&[])?, lab.busybox()?);
        let server = Container::idle(&image, &network)?;
        let client = Container::idle(&image, &network)?;
        transfer(&server, &client, &network, "100")
    });
}

#[test]
fn jumbo_network_carries_tcp() {
    docker_test(&[], |lab| {
        let (network, image) = (lab.network(&["-o", "mtu=9000"])?, lab.busybox()?);
        let server = Container::idle(&image, &network)?;
        let client = Container::idle(&image, &network)?;
        transfer(&server, &client, &network, "30")
    });
}

#[test]
fn tcp_survives_a_restart_of_the_agent() {
    docker_test(&[], |lab| {
        let (network, image) = (lab.network(&[])?, lab.busybox()?);
        let server = Container::idle(&image, &network)?;
        let client = Container::idle(&image, &network)?;
        transfer(&server, &client, &network, "10")?;
        lab.crash()?;
        let address = server.address(&network)?;
        client.pings(address, SOON)?;
        let fetch = format!("wget -q -T 60 -O - http://{address}/data | sha256sum");
        let again = client.exec_ok(&["sh", "-c", &fetch])?;
        let sent = server.exec_ok(&["sha256sum", "/tmp/data"])?;
        ensure!(again.split_whitespace().next() == sent.split_whitespace().next());
        Ok(())
    });
}
