//! Lists the interfaces of a running VPP with their addresses, then prints what becomes of them until it
//! is interrupted.
//!
//!     cargo run -p vpp-api-client --example dump_interfaces [/run/vpp/api.sock]

use vpp_api_client::api::interface::{SwInterfaceDump, SwInterfaceEvent, WantInterfaceEvents};
use vpp_api_client::api::interface_types::IfStatusFlags;
use vpp_api_client::api::ip::IpAddressDump;
use vpp_api_client::{Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let socket = std::env::args().nth(1).unwrap_or_else(|| "/run/vpp/api.sock".to_owned());
    let client = Client::connect(socket).await?;
    // Listening comes first: what happens between the list and the first event is not missed.
    let mut events = client.events::<SwInterfaceEvent>()?;
    let want = WantInterfaceEvents { enable_disable: 1, pid: std::process::id() };
    client.request(&want).await?;

    for interface in client.dump(&SwInterfaceDump::default()).await? {
        let state = if interface.flags.contains(IfStatusFlags::ADMIN_UP) { "up" } else { "down" };
        let index = interface.sw_if_index;
        println!("{index:>3} {:<24} {state:<4} {}", interface.interface_name, interface.l2_address);
        for is_ipv6 in [false, true] {
            let dump = IpAddressDump { sw_if_index: index, is_ipv6 };
            for address in client.dump(&dump).await? {
                println!("      {}/{}", address.prefix.address, address.prefix.len);
            }
        }
    }
    loop {
        match events.recv().await {
            Ok(event) if event.deleted => println!("{:>3} deleted", event.sw_if_index),
            Ok(event) => println!("{:>3} {:?}", event.sw_if_index, event.flags),
            Err(Error::EventsLost { count, .. }) => println!("{count} events were missed"),
            Err(error) => return Err(error),
        }
    }
}
