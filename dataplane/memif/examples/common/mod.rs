//! What the examples share: an endpoint on the command line, and a thread that keeps it linked.
#![allow(dead_code, reason = "each example uses its part")]

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use memif::{
    Address, BufferSize, Client, ClientConfig, ClientEvent, InterfaceConfig, InterfaceId, Link,
    Listener, ListenerConfig, ListenerEvent, RegionPolicy, RingSize, Secret, wait_readable,
};

/// How an endpoint is written.
pub(crate) const ENDPOINT_HELP: &str = "\
ENDPOINT is listen:ADDRESS or connect:ADDRESS, where ADDRESS is a path or an abstract @name, then any of
  ,id=N         the interface (0)
  ,secret=TEXT  its secret
  ,queues=N     connect: queues each way (1)
  ,rsize=LOG2   connect: slots of a ring, as a power of two (10)
  ,bsize=BYTES  connect: bytes of a buffer (2048)
  ,trusted      listen: take clients whose buffers are not sealed (zero-copy VPP and DPDK)";

/// One end of a memif link, as a user writes it.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    Listen(Address, InterfaceConfig),
    Connect(Address, ClientConfig),
}

/// What is wrong with a command line.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Parses the value of an option.
pub(crate) fn value<T: FromStr>(option: &str, text: &str) -> Result<T, Usage> {
    text.parse().map_err(|_| Usage(format!("{option}: {text:?} makes no sense")))
}

impl FromStr for Endpoint {
    type Err = Usage;

    fn from_str(text: &str) -> Result<Self, Usage> {
        let mut parts = text.split(',');
        let place = parts.next().unwrap_or_default();
        let options: Vec<_> =
            parts.map(|option| option.split_once('=').unwrap_or((option, ""))).collect();
        let Some((role, address)) = place.split_once(':') else {
            return Err(Usage(format!("{place:?} is neither listen:ADDRESS nor connect:ADDRESS")));
        };
        let address = address.parse().map_err(|error| Usage(format!("{place}: {error}")))?;
        match role {
            "listen" => Ok(Self::Listen(address, interface(&options)?)),
            "connect" => Ok(Self::Connect(address, client(&options)?)),
            _ => Err(Usage(format!("{role:?} is neither listen nor connect"))),
        }
    }
}

fn interface(options: &[(&str, &str)]) -> Result<InterfaceConfig, Usage> {
    let mut config = InterfaceConfig::new(InterfaceId::default());
    for &(key, text) in options {
        match key {
            "id" => {
                config = InterfaceConfig { id: InterfaceId::new(value(key, text)?), ..config };
            }
            "secret" => config.secret = Some(secret(text)?),
            "trusted" => config.policy = RegionPolicy::Trusted,
            _ => return Err(Usage(format!("a listening endpoint has no option {key:?}"))),
        }
    }
    Ok(config)
}

fn client(options: &[(&str, &str)]) -> Result<ClientConfig, Usage> {
    let mut config = ClientConfig::new(InterfaceId::default());
    for &(key, text) in options {
        let nonsense = || Usage(format!("{key}: {text:?} is out of range"));
        match key {
            "id" => config.id = InterfaceId::new(value(key, text)?),
            "secret" => config.secret = secret(text)?,
            "queues" => {
                config.transmit_queues = value(key, text)?;
                config.receive_queues = config.transmit_queues;
            }
            "rsize" => {
                config.ring_size = RingSize::from_log2(value(key, text)?).ok_or_else(nonsense)?;
            }
            "bsize" => {
                config.buffer_size = BufferSize::new(value(key, text)?).ok_or_else(nonsense)?;
            }
            _ => return Err(Usage(format!("a connecting endpoint has no option {key:?}"))),
        }
    }
    Ok(config)
}

fn secret(text: &str) -> Result<Secret, Usage> {
    Secret::new(text).map_err(|error| Usage(format!("secret: {error}")))
}

/// The links of an endpoint, one after another. A thread of its own keeps the endpoint open and sees
/// links end: their queues then return `Disconnected`. Dropping this closes the endpoint.
#[derive(Debug)]
pub(crate) struct Links {
    receiver: Receiver<Link>,
    thread: Option<JoinHandle<()>>,
    /// Its end tells the thread to end.
    stop: Option<UnixStream>,
}

impl Links {
    pub(crate) fn open(endpoint: Endpoint) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let (stop, stopped) = UnixStream::pair()?;
        let thread = match endpoint {
            Endpoint::Listen(address, config) => {
                let mut listener = Listener::bind(&address, ListenerConfig::default())?;
                // The listener is new, so the id is free.
                let _ = listener.add(config);
                eprintln!("listening at {address}, interface {}", config.id);
                thread::spawn(move || report(serve(&mut listener, &sender, &stopped)))
            }
            Endpoint::Connect(address, config) => {
                eprintln!("connecting to {address}, interface {}", config.id);
                let mut client = Client::new(address, config, Instant::now())?;
                thread::spawn(move || report(keep_connected(&mut client, &sender, &stopped)))
            }
        };
        Ok(Self { receiver, thread: Some(thread), stop: Some(stop) })
    }

    /// Waits for the next link; `None` if the endpoint is beyond use.
    pub(crate) fn next(&self) -> Option<Link> {
        self.receiver.recv().ok()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn report(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("{error}");
    }
}

/// Sleeps until there is something to do; whether it is to stop.
fn wait(
    descriptor: BorrowedFd<'_>,
    deadline: Option<Instant>,
    stopped: &UnixStream,
) -> io::Result<bool> {
    let patience = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    wait_readable(&[descriptor, stopped.as_fd()], patience)?;
    wait_readable(&[stopped.as_fd()], Some(Duration::ZERO))
}

fn serve(listener: &mut Listener, links: &Sender<Link>, stopped: &UnixStream) -> io::Result<()> {
    loop {
        for event in listener.poll(Instant::now())? {
            match event {
                ListenerEvent::Connected { id, link } => {
                    announce(&link, &format!("interface {id}"));
                    let _ = links.send(link);
                }
                ListenerEvent::Refused { error, .. } => eprintln!("refused a client: {error}"),
                ListenerEvent::Disconnected { reason, .. } => eprintln!("link down: {reason}"),
                other => eprintln!("{other:?}"),
            }
        }
        if wait(listener.as_fd(), listener.next_deadline(), stopped)? {
            return Ok(());
        }
    }
}

fn keep_connected(
    client: &mut Client,
    links: &Sender<Link>,
    stopped: &UnixStream,
) -> io::Result<()> {
    let mut said = String::new();
    loop {
        for event in client.poll(Instant::now())? {
            match event {
                ClientEvent::Connected(link) => {
                    announce(&link, "connected");
                    said.clear();
                    let _ = links.send(link);
                }
                // Once, not for every attempt.
                ClientEvent::Failed(error) if error.to_string() == said => {}
                ClientEvent::Failed(error) => {
                    said = error.to_string();
                    eprintln!("{said}");
                }
                ClientEvent::Disconnected(reason) => eprintln!("link down: {reason}"),
                other => eprintln!("{other:?}"),
            }
        }
        if wait(client.as_fd(), client.next_deadline(), stopped)? {
            return Ok(());
        }
    }
}

fn announce(link: &Link, what: &str) {
    let peer = link.peer();
    eprintln!(
        "link up: {what}, peer {:?} interface {:?}, pid {}",
        peer.application,
        peer.interface,
        link.credentials().pid
    );
}
