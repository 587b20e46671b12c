//! socat and netcat: programs that move bytes between standard streams and a connection, and end when
//! one side does.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::world::{Pairing, in_every_pairing};

const SOON: Duration = Duration::from_secs(30);

const INPUT: &str = "test -f /tmp/in || head -c 20000000 /dev/urandom >/tmp/in";
/// Through `cat` at the other end and back; the end of the input comes back too.
fn echoed_by_socat(pairing: &Pairing<'_>) -> Result<()> {
    let server = ["socat", "TCP-LISTEN:7000,reuseaddr,fork", "EXEC:cat"];
    let _server = pairing.server.serve(pairing.agent, 7000, &server)?;
    let address = pairing.server.address();
    pairing.check(|| {
        for _ in 0..3 {
            // Without a limit socat gives the other direction half a second.
            let line =
                format!("{INPUT}; socat -t 30 - TCP:{address}:7000 </tmp/in | cmp - /tmp/in");
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
