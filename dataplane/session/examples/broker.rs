//! A session broker without the agent, to try the preload library with:
//! `broker NETNS=ADDRESS...` serves one endpoint in each named network namespace (`ip netns add`).

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use session::broker::{Endpoint, EndpointKey, Limits, NetworkKey, Options, Service};
use session::layout::RingSize;
use session::wire::SOCKET_NAME;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = Service::start(Options::default())?;
    for (key, argument) in (1..).zip(std::env::args().skip(1)) {
        let (namespace, address) = argument.split_once('=').ok_or("NETNS=ADDRESS is expected")?;
        let ipv4: Ipv4Addr = address.parse()?;
        let key = EndpointKey(key);
        service.add_endpoint(
            key,
            Endpoint {
                network: NetworkKey(1),
                ipv4: Some(ipv4),
                ipv6: None,
                kernel: true,
                isolated: false,
                ring_size: RingSize::DEFAULT,
                limits: Limits::default(),
            },
        );
        service.serve(key, bind_in(namespace.to_owned())?)?;
    }
    println!("ready");
    loop {
        std::thread::park();
    }
}

/// Binds the broker's socket in a namespace, on a thread of its own that ends there.
fn bind_in(namespace: String) -> std::io::Result<OwnedFd> {
    let job = move || {
        let file = std::fs::File::open(format!("/run/netns/{namespace}"))?;
        move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(LinkNameSpaceType::Network),
        )?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(SOCKET_NAME.as_bytes())?)?;
        Ok(socket)
    };
    std::thread::spawn(job).join().map_err(|_| std::io::Error::other("the thread panicked"))?
}
