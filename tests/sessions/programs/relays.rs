//! socat and netcat: programs that move bytes between standard streams and a connection, and end when
//! one side does.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::world::{Pairing, in_every_pairing};

const SOON: Duration = Duration::from_secs(30);

const INPUT: &str = "test -f /tmp/in || head -c 20000000 /dev/urandom >/tmp/in";

/// What is echoed: more than all buffers hold, but for VPP's TCP with a kernel at the other end. Where both directions
/// stand still because buffers are full, VPP 26.06 sends again what is larger than the window that is left, and Linux
/// (6.18) takes nothing of such a segment, its acknowledgement neither (docs/vpp.md).
fn echoed_bytes(pairing: &Pairing<'_>) -> u32 {
    if pairing.is_vpps_tcp_with_a_kernels() { 100_000 } else { 20_000_000 }
}

/// Through `cat` at the other end and back; the end of the input comes back too.
fn echoed_by_socat(pairing: &Pairing<'_>) -> Result<()> {
    let server = ["socat", "TCP-LISTEN:7000,reuseaddr,fork", "EXEC:cat"];
    let _server = pairing.server.serve(pairing.agent, 7000, &server)?;
    let (address, bytes) = (pairing.server.address(), echoed_bytes(pairing));
    pairing.check(|| {
        for _ in 0..3 {
            // Without a limit socat gives the other direction half a second.
            let line =
                format!("{INPUT}; head -c {bytes} /tmp/in >/tmp/part; socat -t 30 - TCP:{address}:7000 </tmp/part | cmp - /tmp/part");
            pairing.client_shell(&line)?;
        }
        Ok(())
    })
}

/// To a netcat that takes one connection and ends with it, several times on the same port.
fn taken_by_netcat(pairing: &Pairing<'_>) -> Result<()> {
    let address = pairing.server.address();
    for _ in 0..3 {
        let line = ["sh", "-c", "nc.openbsd -l 7001 | md5sum"];
        let mut server = pairing.server.serve(pairing.agent, 7001, &line)?;
        pairing.check(|| {
            let line = format!("{INPUT}; nc.openbsd -N {address} 7001 </tmp/in; md5sum </tmp/in");
            let sent = pairing.client_shell(&line)?;
            let is_sum = |line: &str| line.contains('-').then(|| line.to_owned());
            let received = server.line_after(0, SOON, "netcat ends", is_sum)?;
            ensure!(sent == received, "sent {sent}, received {received}");
            Ok(())
        })?;
        server.wait(SOON)?;
    }
    Ok(())
}

#[test]
fn socat_and_netcat_relay_to_the_end() {
    in_every_pairing(|pairing| {
        echoed_by_socat(pairing)?;
        taken_by_netcat(pairing)
    });
}
