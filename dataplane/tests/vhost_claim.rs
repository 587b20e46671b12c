//! The front ends of a port whose address somebody else gives away too: each asks once, and says when it has left.

mod support;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use dataplane::control::{AddressClaim, PortOwner};
use dataplane::{Dataplane, DomainConfig, PortConfig, PortId, VhostConfig};
use support::front_end::FrontEnd;
use support::{PATIENCE, mac};
use vhost::vhost_user::VhostUserFrontend;

/// Who has the address, and what was asked for.
#[derive(Debug, Default)]
struct Book {
    taken: bool,
    asked: Vec<&'static str>,
}

struct Claim(Arc<Mutex<Book>>);

impl AddressClaim for Claim {
    fn claim(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut book = self.0.lock().expect("whole");
        book.asked.push("claim");
        if book.taken { Err("somebody has it".into()) } else { Ok(()) }
    }

    fn release(&mut self) {
        self.0.lock().expect("whole").asked.push("release");
    }
}

struct Device {
    engine: Dataplane,
    port: PortId,
    book: Arc<Mutex<Book>>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Device {
    fn new() -> Self {
        let engine = support::engine();
        let domain = engine.create_domain(DomainConfig::new("test")).expect("domain");
        let port = PortConfig::new("device", Some(mac(2)));
        let port = engine.create_port(domain, port).expect("port");
        let folder = tempfile::tempdir().expect("folder");
        let (path, book) = (folder.path().join("socket"), Arc::default());
        let device = Self { engine, port, book, path, _folder: folder };
        device.listen(&device.path);
        device
    }

    fn listen(&self, path: &Path) {
        let listener = UnixListener::bind(path).expect("binds");
        let claim = Box::new(Claim(Arc::clone(&self.book)));
        let config = VhostConfig { max_queues: 2, ..VhostConfig::default() };
        let served = self.engine.listen_vhost(self.port, listener.into(), &config, Some(claim));
        served.expect("listens");
    }

    fn set_taken(&self, taken: bool) {
        self.book.lock().expect("whole").taken = taken;
    }

    fn wait_asked(&self, asked: &[&str]) {
        let start = Instant::now();
        loop {
            let now = self.book.lock().expect("whole").asked.clone();
            if now == asked {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{now:?}");
            std::thread::yield_now();
        }
    }

    fn owner(&self) -> PortOwner {
        self.engine.port(self.port).expect("exists").owner
    }
}

#[test]
fn a_front_end_asks_once_and_leaves_when_no_ring_is_served() {
    let device = Device::new();
    // Four rings are enabled one by one, and the memory is shared anew: the address is not given back between.
    let mut front_end = FrontEnd::with_queues(&device.path, 2, 0);
    front_end.share_memory().expect("again");
    assert_eq!(device.owner(), PortOwner::Vhost);
    device.wait_asked(&["claim"]);
    for ring in 0..4 {
        front_end.protocol.set_vring_enable(ring, false).expect("disabled");
    }
    device.wait_asked(&["claim", "release"]);
    assert_eq!(device.owner(), PortOwner::None);
    front_end.protocol.set_vring_enable(0, true).expect("enabled");
    device.wait_asked(&["claim", "release", "claim"]);
    drop(front_end);
    device.wait_asked(&["claim", "release", "claim", "release"]);
    assert_eq!(device.owner(), PortOwner::None);
}

#[test]
fn a_front_end_is_hung_up_on_while_somebody_else_has_the_address() {
    let device = Device::new();
    device.set_taken(true);
    let mut front_end = FrontEnd::introduced(&device.path, 1, 0);
    front_end.share_memory().expect("fits");
    let _ = front_end.set_up(1).and_then(|()| front_end.protocol.set_vring_enable(1, true));
    front_end.wait_for_the_end();
    assert_eq!(device.owner(), PortOwner::None);
    device.wait_asked(&["claim"]);
    // Nothing was given, so nothing is given back.
    device.set_taken(false);
    drop(FrontEnd::connect(&device.path, 0));
    device.wait_asked(&["claim", "claim", "release"]);
}

#[test]
fn the_address_is_left_when_the_device_goes() {
    let device = Device::new();
    let front_end = FrontEnd::connect(&device.path, 0);
    device.engine.unlisten_vhost(device.port);
    front_end.wait_for_the_end();
    device.wait_asked(&["claim", "release"]);
}
