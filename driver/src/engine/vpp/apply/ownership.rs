//! Before a pipe goes, its node gives up being the owner of what is sent to `pipe-rx`.
//!
//! VPP 26.06 gives the nodes of an interface that was deleted to the next one, of whatever kind
//! (`src/vnet/interface.c`, `deleted_hw_interface_nodes`). A pipe's node that was the last to become the owner of the
//! frames for `pipe-rx` stays that in VPP's books when a loopback has it next, and leads to `ethernet-input` by then
//! (`src/vlib/node.c`, `vlib_node_runtime_update`). The next pipe that sends and is not the owner changes places with it
//! (`src/vlib/main.c`, `vlib_next_frame_change_ownership`): from then on what it carries is taken for packets of its own
//! layer 3 and dropped, ARP first. So a packet of VPP's packet generator, whose node is never anybody else's, makes that
//! the owner while the pipe is still there.
//!
//! Each thread has such books. With worker threads VPP's generator does not send on the main thread, and
//! [`nodes`](super::nodes) sees to it that no loopback gets the nodes.

use std::time::Duration;

use vpp_api_client::Error;
use vpp_api_client::api::interface::SwInterfaceDump;
use vpp_api_client::api::vlib::CliInband;

use super::{Failure, Worker, is_loss};
use crate::engine::vpp::cli_text::packets_generated;
use crate::engine::vpp::tag::Tag;

/// The generator's interface where nobody has named one. It comes with the stream and does not go with it.
const INTERFACE: &str = "pg-1";

/// Between looks at whether the packet was sent.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks at most: VPP sends it within one of its rounds.
const LOOKS: u32 = 200;

impl Worker<'_> {
    /// The pipe's ends are in no bridge domain any more, so that it sends nothing afterwards. Where VPP's packet
    /// generator does not send, the pipe goes all the same; an error only when VPP is gone.
    pub(super) async fn disown(&self, outer: &Tag) -> Result<(), Failure> {
        if self.has_workers().await? {
            return Ok(());
        }
        match self.send_beside(outer).await {
            Err(Failure::Vpp(error)) if is_loss(&error) => Err(error.into()),
            Err(failure) => {
                tracing::warn!(
                    "VPP's packet generator has sent nothing to pipe-rx before a pipe goes: {failure}; if an endpoint \
                     with tcp=vcl that is made later reaches nobody, look at `show packet-generator` and restart VPP"
                );
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The packet is of no protocol, and is dropped where it would leave the pipe by its outer end.
    async fn send_beside(&self, outer: &Tag) -> Result<(), Failure> {
        let index = self.interface(outer)?;
        let interfaces = self.client.dump(&SwInterfaceDump::default()).await?;
        let end = interfaces.iter().find(|it| it.sw_if_index == index);
        let end = &end.ok_or(Failure::Missing("the pipe"))?.interface_name;
        let mut operators = interfaces.iter().any(|it| &*it.interface_name == INTERFACE);
        // VPP prints 16 characters of a stream's name, and refers to pipes by less.
        let name = format!("own-{end}");
        // Of an agent that died. Where there is none VPP refuses.
        match self.command(format!("packet-generator delete {name}")).await {
            Ok(_) => operators = false,
            Err(Failure::Vpp(Error::Refused { .. })) => {}
            Err(failure) => return Err(failure),
        }
        let stream = format!(
            "packet-generator new {{ name {name} interface {end} node pipe-rx limit 1 size 64-64 data {{ hex 0x{} \
             incrementing 50 }} }}",
            "00".repeat(14)
        );
        self.command(stream).await?;
        let sent = self.send(&name).await;
        self.command(format!("packet-generator delete {name}")).await?;
        if !operators {
            self.command(format!("delete packet-generator interface {INTERFACE}")).await?;
        }
        sent
    }

    async fn send(&self, stream: &str) -> Result<(), Failure> {
        self.command(format!("packet-generator enable-stream {stream}")).await?;
        for _ in 0..LOOKS {
            let shown = self.command("show packet-generator".to_owned()).await?;
            if packets_generated(&shown, stream).is_some_and(|count| count > 0) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Failure::Missing("the packet"))
    }

    pub(super) async fn command(&self, cmd: String) -> Result<String, Failure> {
        Ok(self.client.request(&CliInband { cmd }).await?.reply)
    }
}
