//! Programs that speak UDP: sockets connected and not, a ball and its echo, a stream of numbered
//! datagrams, relays. Over IPv4 and IPv6.

use anyhow::{Context as _, Result, ensure};
use kit::need::PYTHON;
use kit::process::Process;
use serde_json::Value;

use super::iperf3::{SERVER, until_it_listens};
use super::world::{Pairing, Protocol, in_every_pairing};

/// An address of the server, and the one that means all of its addresses.
type Way<'a> = (&'a str, &'static str);

fn ways<'a>(pairing: &'a Pairing<'_>) -> [Way<'a>; 2] {
    [(pairing.server.address(), "0.0.0.0"), (pairing.server.address6(), "::")]
}

/// Starts a server on UDP.
fn serve(pairing: &Pairing<'_>, port: u16, command: &[&str]) -> Result<Process> {
    pairing.server.serve_on(pairing.agent, Protocol::Udp, port, command)
}

#[test]
fn sockets_connected_or_not_echo_datagrams_of_every_size() {
    in_every_pairing(|pairing| {
        // A port for each: what runs in a container outlives the `docker exec` that started it, and a server
        // of `::` gets no port that one of `0.0.0.0` has.
        for ((address, any), port) in ways(pairing).into_iter().zip([9000, 9010]) {
            let text = port.to_string();
            let echo = [PYTHON, "/programs/datagrams.py", "echo", any, &text];
            let ask = [PYTHON, "/programs/datagrams.py", "ask", address, &text];
            let _server = serve(pairing, port, &echo)?;
            pairing.check(|| pairing.client(&ask).map(drop)).context(any)?;
        }
        Ok(())
    });
}

/// Over IPv4 alone: sockperf 3.7 knows no other.
#[test]
fn sockperf_gets_every_ball_back() {
    in_every_pairing(|pairing| {
        let server = ["sockperf", "server", "-i", "0.0.0.0", "-p", "11111"];
        let _server = serve(pairing, 11111, &server)?;
        let address = pairing.server.address();
        let ball = ["sockperf", "ping-pong", "-i", address, "-p", "11111", "-t", "1"];
        let fine = "# dropped messages = 0; # duplicated messages = 0; \
                    # out-of-order messages = 0";
        pairing.check(|| {
            let output = pairing.client(&[&ball[..], &["--mps", "100000"]].concat())?;
            ensure!(output.contains(fine), "{output}");
            Ok(())
        })
    });
}

/// Numbered datagrams, at a rate; some may be lost, none comes doubled or in another order.
fn numbered(pairing: &Pairing<'_>, address: &str, more: &[&str]) -> Result<()> {
    let mut command =
        vec!["iperf3", "-c", address, "-u", "-b", "100M", "-n", "10M", "-l", "1200", "-J"];
    command.extend(more);
    let output = pairing.client(&command)?;
    let report: Value = serde_json::from_str(&output).context("iperf3 prints JSON")?;
    let streams = report["end"]["streams"].as_array().context("there are streams")?;
    for stream in streams {
        let number = |of: &str| stream["udp"][of].as_u64().with_context(|| of.to_owned());
        let (sent, lost) = (number("packets")?, number("lost_packets")?);
        ensure!(sent > 1000, "{command:?}: {sent} datagrams were sent");
        ensure!(lost < sent / 2, "{command:?}: {lost} of {sent} datagrams were lost");
        ensure!(number("out_of_order")? == 0, "{command:?}: {stream}");
    }
    Ok(())
}

#[test]
fn iperf3_counts_its_datagrams() {
    in_every_pairing(|pairing| {
        // Its server says where it listens by TCP first.
        let server = pairing.server.serve(pairing.agent, 5201, &SERVER)?;
        let mut tests = 1..;
        for (address, _) in ways(pairing) {
            pairing.check(|| {
                for (more, test) in [&[][..], &["-R"], &["-P", "4"]].into_iter().zip(&mut tests) {
                    until_it_listens(&server, test)?;
                    numbered(pairing, address, more)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    });
}

/// Through `cat` at the other end and back: a server that looks at the first datagram of a peer and
/// leaves the socket to a child, and one that has a child answer each datagram.
#[test]
fn socat_relays_datagrams() {
    in_every_pairing(|pairing| {
        // A port for each: the server before is still there, as above.
        let mut ports = 7000..;
        for (address, _) in ways(pairing) {
            let version = if address.contains(':') { "6" } else { "4" };
            let target = if version == "6" { format!("[{address}]") } else { address.to_owned() };
            for (kind, port) in ["LISTEN", "RECVFROM"].into_iter().zip(&mut ports) {
                let listen = format!("UDP{version}-{kind}:{port},reuseaddr,fork");
                let _server = serve(pairing, port, &["socat", "-T", "5", &listen, "EXEC:cat"])?;
                pairing.check(|| {
                    for round in 0..3 {
                        let text = format!("{kind} {round}");
                        // It ends when all of the answer is there, and else after 20 seconds.
                        let line = format!(
                            "echo '{text}' | socat -t 20 -T 20 - UDP{version}:{target}:{port},readbytes={}",
                            text.len() + 1
                        );
                        let answer = pairing.client_shell(&line)?;
                        ensure!(answer.trim() == text, "{line}: {answer:?}");
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    });
}
