//! A server in a pid namespace that its client does not see: the kernel says process 0. Containers
//! see the agent like that.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::process::Command;
use std::time::Duration;

use memif::{Address, ClientConfig, InterfaceConfig, InterfaceId, Listener, ListenerConfig};

const ADDRESS: &str = "MEMIF_TEST_ADDRESS";
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn client_in_another_pid_namespace_connects() {
    if let Ok(address) = std::env::var(ADDRESS) {
        return connect(&address.parse().unwrap());
    }
    if !rustix::process::geteuid().is_root() {
        println!("skipped: a pid namespace needs root");
        return;
    }
    let address: Address =
        format!("@memif-test/{}/pid-namespace", std::process::id()).parse().unwrap();
    let mut listener = Listener::bind(&address, ListenerConfig::default()).unwrap();
    listener.add(InterfaceConfig::new(InterfaceId::new(0))).unwrap();
    let mut client = Command::new("unshare")
        .args(["--pid", "--fork"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "client_in_another_pid_namespace_connects"])
        .env(ADDRESS, address.to_string())
        .spawn()
        .expect("unshare is part of util-linux");
    let mut links = Vec::new();
    let status = loop {
        links.extend(listener.poll(std::time::Instant::now()).unwrap());
        if let Some(status) = client.try_wait().unwrap() {
            break status;
        }
        std::thread::yield_now();
    };
    assert!(status.success());
    assert!(!links.is_empty());
}

fn connect(address: &Address) {
    let link = memif::connect(address, ClientConfig::new(InterfaceId::new(0)), PATIENCE).unwrap();
    assert_eq!(link.credentials().pid, 0);
}
