//! sockperf: a ball and its echo, and a stream of numbered messages.

use anyhow::{Result, ensure};

use super::world::in_every_pairing;

const PORT: u16 = 11111;
/// Rounds per second: sockperf 3.7 ends itself when there are more than 600,000.
const RECORDABLE: &str = "250000";

#[test]
fn sockperf_loses_doubles_and_reorders_nothing() {
    in_every_pairing(|pairing| {
        let server = ["sockperf", "server", "--tcp", "-i", "0.0.0.0", "-p", "11111"];
        let _server = pairing.server.serve(pairing.agent, PORT, &server)?;
        let address = pairing.server.address();
        let run = |kind: &str| -> Result<String> {
            let mut words = vec!["sockperf", kind, "--tcp", "-i", address];
            words.extend(["-p", "11111", "-t", "1"]);
            if kind == "ping-pong" {
                words.extend(["--mps", RECORDABLE]);
            }
            pairing.client(&words)
        };
        pairing.check(|| {
            for kind in ["ping-pong", "under-load"] {
                let output = run(kind)?;
                let fine = "# dropped messages = 0; # duplicated messages = 0; \
                            # out-of-order messages = 0";
                ensure!(output.contains(fine), "{kind}: {output}");
            }
            run("throughput").map(drop)
        })
    });
}
