//! Flows of datagrams that the host's kernel remembers.

use anyhow::{Context as _, ensure};
use kit::lab::docker_test;
use kit::need::Need;
use kit::process::run;
use kit::{Engine, World};

use super::{Kind, WAY_OUT, container, echoes, network, saw};

/// Sends datagrams from one port until one is answered.
const INSISTS: &str = "import socket, sys, time
it = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
it.bind(('', 45000))
it.connect((sys.argv[1], int(sys.argv[2])))
it.settimeout(0.1)
end = time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    try:
        it.send(b'hello')
        print(it.recv(100).decode())
        sys.exit()
    except OSError:
        time.sleep(0.05)
sys.exit('no answer')";

#[test]
fn a_client_that_goes_on_sending_datagrams_reaches_the_next_container() {
    if !Engine::Embedded.needed(WAY_OUT) {
        return;
    }
    docker_test(&[Need::Python], |lab| {
        let world = World::create(12)?;
        let network = network(lab, 22, &[])?;
        let [door, _] = world.host();
        let sends = |seconds: &str| {
            let line = ["-c", INSISTS, &door.to_string(), "17040", seconds];
            run(&mut world.command(kit::need::PYTHON, &line))
        };
        // Before there is anybody: later it must not be taken for traffic of the host itself.
        ensure!(sends("0.5").is_err(), "somebody answers");
        for address in ["10.203.22.50", "10.203.22.60"] {
            let published = ["-p", "17040:7000/udp", "--ip", address];
            let one = container(Kind::Tap, &network, &published)?;
            let server = echoes(Kind::Tap, &one, &network, "7000")?;
            let answer = sends("20").with_context(|| format!("{address} is not reached"))?;
            ensure!(answer == "hello", "{answer}");
            saw(&server, 0, "datagram", world.addresses()[0])?;
            one.remove()?;
        }
        Ok(())
    });
}
