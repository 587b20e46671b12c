//! Prints the version of a running VPP.
//!
//!     cargo run -p vpp-api-client --example show_version [/run/vpp/api.sock]

use vpp_api_client::{Client, Error, api};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let socket = std::env::args().nth(1).unwrap_or_else(|| "/run/vpp/api.sock".to_owned());
    let client = Client::connect(socket).await?;
    let version = client.request(&api::vpe::ShowVersion {}).await?;
    let api::vpe::ShowVersionReply { program, version, build_date, .. } = version;
    println!("{program} {version}, built {build_date}");
    client.close().await
}
