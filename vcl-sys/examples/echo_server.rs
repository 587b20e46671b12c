//! Sends back what comes, over VPP's TCP, or with a certificate and its key (files, PEM) over VPP's TLS.
//!
//!     echo_server SOCKET ADDRESS [LIBRARY [CERTIFICATE KEY]]
//!     echo_server /run/vpp/app_ns_sockets/default 0.0.0.0:7

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use vcl_sys::{App, Config, ErrorKind, Events, Library, Protocol, Ready, Session};

const LISTENER: u64 = 0;

/// A connection, and what is to be sent back over it.
struct Echo {
    session: Session,
    rest: Vec<u8>,
}

impl Echo {
    /// Goes on until nothing moves; `false` when it is over.
    fn turn(&mut self) -> Result<bool, vcl_sys::CallError> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            while !self.rest.is_empty() {
                match self.session.write(&self.rest) {
                    Ok(sent) => self.rest.drain(..sent),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                };
            }
            match self.session.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(len) => self.rest.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: echo_server SOCKET ADDRESS [LIBRARY [CERTIFICATE KEY]]";
    let socket = arguments.next().context(usage)?;
    let address: SocketAddr = arguments.next().context(usage)?.parse()?;
    let library = match arguments.next() {
        Some(path) => Library::open(Path::new(&path))?,
        None => Library::open_newest()?,
    };
    let certificate = match arguments.next() {
        Some(certificate) => {
            let key = arguments.next().context(usage)?;
            Some([certificate, key].map(std::fs::read))
        }
        None => None,
    };
    println!("libvppcom {} from {}", library.release(), library.path().display());

    let worker = App::attach(&library, &Config::new("echo-server", socket))?;
    let (listener, _pair) = match certificate {
        Some([certificate, key]) => {
            let pair = worker.add_cert_key(&certificate?, &key?)?;
            let listener = worker.session(Protocol::Tls)?;
            listener.set_cert_key(&pair)?;
            (listener, Some(pair))
        }
        None => (worker.session(Protocol::Tcp)?, None),
    };
    listener.bind(address)?;
    listener.listen()?;
    println!("listening on {}", listener.local_addr()?);

    let epoll = worker.epoll()?;
    epoll.add(&listener, LISTENER, Ready::READ | Ready::EDGE)?;
    let interest = Ready::READ | Ready::WRITE | Ready::PEER_ENDED | Ready::EDGE;
    let mut connections = HashMap::new();
    let mut next = LISTENER;
    let mut events = Events::with_capacity(64);
    loop {
        epoll.wait(&mut events, None)?;
        if worker.is_detached().unwrap_or(false) {
            anyhow::bail!("VPP is gone");
        }
        for event in events.iter() {
            if event.token == LISTENER {
                while let Some((session, peer)) = listener.accept()? {
                    next += 1;
                    println!("{next}: from {peer}");
                    epoll.add(&session, next, interest)?;
                    connections.insert(next, Echo { session, rest: Vec::new() });
                }
            } else if let Some(echo) = connections.get_mut(&event.token) {
                match echo.turn() {
                    Ok(true) => continue,
                    Ok(false) => println!("{}: over", event.token),
                    Err(error) => println!("{}: {error}", event.token),
                }
                connections.remove(&event.token);
            }
        }
    }
}
