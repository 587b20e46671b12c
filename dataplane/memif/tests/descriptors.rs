//! Links come and go without leaving a descriptor. Alone in its process, so that they can be counted.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{address, client, link, listener, next_of_listener};
use memif::{ClientConfig, InterfaceId, connect};

#[test]
fn hundred_links_leave_no_descriptor_behind() {
    let address = address("hundred");
    let mut listener = listener(&address);
    let mut cycle = || {
        let mut client = client(&address);
        let (mut at_server, at_client) = link(&mut listener, &mut client);
        let queues = at_server.take_queues();
        drop((client, at_client));
        next_of_listener(&mut listener);
        drop((at_server, queues));
        let wrong = ClientConfig::new(InterfaceId::new(1));
        let asking = {
            let address = address.clone();
            std::thread::spawn(move || connect(&address, wrong, std::time::Duration::from_secs(20)))
        };
        next_of_listener(&mut listener);
        assert!(asking.join().unwrap().is_err());
    };
    cycle();
    let before = open_descriptors();
    (0..100).for_each(|_| cycle());
    assert_eq!(open_descriptors(), before);
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
