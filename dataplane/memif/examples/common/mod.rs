//! What the examples share: an endpoint on the command line, and a thread that keeps it linked.
#![allow(dead_code, reason = "each example uses its part")]

use std::fmt;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

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

/// Keeps the endpoint open on a thread of its own and hands over each link that comes up. The
/// thread also sees links end: their queues then return `Disconnected`.
pub(crate) fn links(endpoint: Endpoint) -> std::io::Result<Receiver<Link>> {
    let (sender, receiver) = mpsc::channel();
    match endpoint {
        Endpoint::Listen(address, config) => {
            let mut listener = Listener::bind(&address, ListenerConfig::default())?;
            // The listener is new, so the id is free.
            let _ = listener.add(config);
            eprintln!("listening at {address}, interface {}", config.id);
            thread::spawn(move || serve(&mut listener, &sender));
        }
        Endpoint::Connect(address, config) => {
            eprintln!("connecting to {address}, interface {}", config.id);
            let mut client = Client::new(address, config, Instant::now())?;
            thread::spawn(move || keep_connected(&mut client, &sender));
        }
    }
    Ok(receiver)
}

fn serve(listener: &mut Listener, links: &mpsc::Sender<Link>) {
    loop {
        let now = Instant::now();
        match listener.poll(now) {
            Ok(events) => events.into_iter().for_each(|event| match event {
                ListenerEvent::Connected { id, link } => {
                    announce(&link, &format!("interface {id}"));
                    let _ = links.send(link);
                }
                ListenerEvent::Refused { error, .. } => eprintln!("refused a client: {error}"),
                ListenerEvent::Disconnected { reason, .. } => eprintln!("link down: {reason}"),
                other => eprintln!("{other:?}"),
            }),
            Err(error) => return eprintln!("listener: {error}"),
        }
        let patience = listener.next_deadline().map(|at| at.saturating_duration_since(now));
        if let Err(error) = wait_readable(&[listener.as_fd()], patience) {
            return eprintln!("listener: {error}");
        }
    }
}

fn keep_connected(client: &mut Client, links: &mpsc::Sender<Link>) {
    let mut said = String::new();
    loop {
        let now = Instant::now();
        match client.poll(now) {
            Ok(events) => events.into_iter().for_each(|event| match event {
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
            }),
            Err(error) => return eprintln!("client: {error}"),
        }
        let patience = client.next_deadline().map(|at| at.saturating_duration_since(now));
        if let Err(error) = wait_readable(&[client.as_fd()], patience) {
            return eprintln!("client: {error}");
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
