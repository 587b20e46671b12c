//! Python's servers: one epoll, a process for each connection, processes that share a listener, and
//! one that passes accepted connections to others.

use anyhow::{Result, ensure};

use super::world::in_every_pairing;

const PORT: u16 = 9000;

const PYTHON: &str = kit::need::PYTHON;

fn echo(kind: &'static str) {
    in_every_pairing(|pairing| {
        let server = [PYTHON, "/programs/servers.py", kind, "9000"];
        let _server = pairing.server.serve(pairing.agent, PORT, &server)?;
        let address = pairing.server.address();
        let run = |connections: &str, bytes: &str| -> Result<()> {
            let command = [PYTHON, "/programs/client.py", address, "9000", connections, bytes];
            pairing.client(&command).map(drop)
        };
        pairing.check(|| {
            run("1", "30000000")?;
            // Of the four accepting processes each serves one connection after the other.
            run("60", "100000")?;
            run("10", "1")
        })
    });
}

#[test]
fn asyncio_echoes() {
    echo("asyncio");
}

#[test]
fn a_process_for_each_connection_echoes() {
    echo("forking");
}

#[test]
fn processes_that_share_a_listener_echo() {
    echo("prefork");
}

#[test]
fn processes_that_are_passed_connections_echo() {
    echo("passing");
}

#[test]
fn http_server_serves_files_to_curl_and_urllib() {
    in_every_pairing(|pairing| {
        let line = "head -c 20000000 /dev/urandom >/dev/shm/file; \
                    exec /usr/bin/python3 -m http.server --directory /dev/shm 9000";
        let _server = pairing.server.serve(pairing.agent, PORT, &["sh", "-c", line])?;
        let sent = pairing.server.container.exec_ok(&["sh", "-c", "md5sum </dev/shm/file"])?;
        let url = format!("http://{}:{PORT}/file", pairing.server.address());
        let fetch = "import sys, urllib.request as r; \
                     sys.stdout.buffer.write(r.urlopen(sys.argv[1]).read())";
        pairing.check(|| {
            for command in
                [format!("curl -sS --fail {url}"), format!("{PYTHON} -c '{fetch}' {url}")]
            {
                let received = pairing.client_shell(&format!("{command} | md5sum"))?;
                ensure!(sent == received, "{command}: sent {sent}, received {received}");
            }
            Ok(())
        })
    });
}
