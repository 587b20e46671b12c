//! Sends bytes to an echo server over VPP's TCP, or its TLS, and compares what comes back. VPP's TLS checks no
//! certificate unless it is told to.
//!
//!     echo_client SOCKET ADDRESS [BYTES [LIBRARY [tls]]]
//!     echo_client /run/vpp/app_ns_sockets/default 10.0.0.1:7 1000000

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use vcl_sys::{App, Config, Epoll, ErrorKind, Events, Library, Protocol, Ready, Session};

/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: echo_client SOCKET ADDRESS [BYTES [LIBRARY [tls]]]";
    let socket = arguments.next().context(usage)?;
    let address: SocketAddr = arguments.next().context(usage)?.parse()?;
    let bytes: usize = arguments.next().as_deref().unwrap_or("65536").parse()?;
    let library = match arguments.next() {
        Some(path) => Library::open(Path::new(&path))?,
        None => Library::open_newest()?,
    };

    let worker = App::attach(&library, &Config::new("echo-client", socket))?;
    let epoll = worker.epoll()?;
    let session = match arguments.next().as_deref() {
        None => worker.session(Protocol::Tcp)?,
        Some("tls") => {
            let session = worker.session(Protocol::Tls)?;
            session.set_no_cert_key()?;
            session
        }
        Some(_) => bail!(usage),
    };
    session.connect(address)?;
    epoll.add(&session, 0, Ready::READ | Ready::WRITE | Ready::PEER_ENDED | Ready::EDGE)?;

    let mut events = Events::with_capacity(1);
    ensure!(epoll.wait(&mut events, Some(PATIENCE))? > 0, "{address} does not answer");
    if let Some(error) = session.error()? {
        bail!("no connection to {address}: {error}");
    }
    println!("{} -> {}", session.local_addr()?, session.peer_addr()?);
    let began = Instant::now();
    echo(&session, &epoll, &mut events, bytes)?;
    println!("{bytes} bytes came back in {:?}", began.elapsed());
    Ok(())
}

/// The byte at a place of the stream.
fn byte(at: usize) -> u8 {
    u8::try_from(at % 251).expect("it is small")
}

fn echo(session: &Session, epoll: &Epoll, events: &mut Events, bytes: usize) -> anyhow::Result<()> {
    let (mut sent, mut received) = (0, 0);
    let mut buffer = vec![0; 64 << 10];
    while received < bytes {
        let mut moved = false;
        if sent < bytes {
            let part: Vec<u8> = (sent..bytes).take(buffer.len()).map(byte).collect();
            let written = without_blocking(session.write(&part))?;
            sent += written;
            moved |= written > 0;
        }
        let read = match session.read(&mut buffer) {
            Ok(0) => bail!("the server ended after {received} bytes"),
            other => without_blocking(other)?,
        };
        for &there in &buffer[..read] {
            ensure!(there == byte(received), "byte {received} came back wrong");
            received += 1;
        }
        if !moved && read == 0 {
            ensure!(epoll.wait(events, Some(PATIENCE))? > 0, "nothing for {PATIENCE:?}");
        }
    }
    Ok(())
}

/// Zero when nothing can be done now.
fn without_blocking(
    result: Result<usize, vcl_sys::CallError>,
) -> Result<usize, vcl_sys::CallError> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
