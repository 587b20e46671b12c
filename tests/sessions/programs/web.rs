//! nginx with two workers that dropped their privileges; wrk and curl ask it.

use anyhow::{Context as _, Result, ensure};

use super::world::{Pairing, in_every_pairing};

const PORT: u16 = 8080;

fn wrk(pairing: &Pairing<'_>, more: &[&str]) -> Result<()> {
    let url = format!("http://{}:{PORT}/page", pairing.server.address());
    let mut command = vec!["wrk", "-t", "1", "-c", "20", "-d", "1s"];
    command.extend(more);
    command.push(&url);
    let output = pairing.client(&command)?;
    for trouble in ["Socket errors", "Non-2xx"] {
        ensure!(!output.contains(trouble), "{output}");
    }
    let rate = output.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate: f64 = rate.context("wrk prints a rate")?.trim().parse()?;
    ensure!(rate > 0.0, "{output}");
    Ok(())
}

/// Random bytes have the server's checksum: a gibibyte where nothing but sessions can carry it, less
/// in the other pairings.
fn download(pairing: &Pairing<'_>) -> Result<()> {
    let bytes: u64 = if pairing.bypass { 1 << 30 } else { 1 << 27 };
    let big = format!("head -c {bytes} /dev/urandom | tee /dev/shm/big | md5sum");
    let sent = pairing.server.container.exec_ok(&["sh", "-c", &big])?;
    let url = format!("http://{}:{PORT}/big", pairing.server.address());
    let received = pairing.client_shell(&format!("curl -sS --fail {url} | md5sum"))?;
    ensure!(sent == received, "sent {sent}, received {received}");
    Ok(())
}

#[test]
fn nginx_serves_wrk_and_a_gibibyte_to_curl() {
    in_every_pairing(|pairing| {
        let page = "head -c 612 /dev/urandom >/dev/shm/page; exec nginx -c /programs/nginx.conf";
        let _server = pairing.server.serve(pairing.agent, PORT, &["sh", "-c", page])?;
        pairing.check(|| {
            wrk(pairing, &[])?;
            wrk(pairing, &["-H", "Connection: close"])?;
            download(pairing)
        })
    });
}
