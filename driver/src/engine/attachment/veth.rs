//! The host's end of the veth pair of an endpoint of kind `veth`.
//!
//! It stays on the host, belongs to the agent's packet socket, and is nothing to the host's kernel: frames of the
//! container go no further than to that socket. A pair outlives the agent, as a TAP does; the next agent finds the
//! end by its name and opens another socket.

use dataplane::packet_socket::{PacketSocket, PacketSocketError, limit_offloads};

use super::error::from_link;
use super::eth::find_made;
use crate::engine::EngineError;
use crate::host::link::{LinkChange, LinkError, Links};
use crate::model::{EndpointId, IfName};

/// All host's ends begin so; no other link of an endpoint does, whose ids are hexadecimal.
const NAME_PREFIX: &str = "dvh";

/// The name of the host's end.
pub(super) fn host_end(endpoint: &EndpointId) -> IfName {
    let name = format!("{NAME_PREFIX}{}", endpoint.short());
    name.parse().expect("an id's first twelve characters are letters, digits, `-` and `_`")
}

/// Makes a pair of which the container's end has this name. Both are down.
pub(super) fn create(name: &IfName, endpoint: &EndpointId) -> Result<(), EngineError> {
    let mut links = Links::open().map_err(from_link)?;
    links.create_veth(name, &host_end(endpoint)).map_err(|error| from_kernel(error, "veth"))?;
    limit_offloads(name.as_str()).map_err(|source| EngineError::Io {
        what: format!("cannot limit the offloads of the link {name}"),
        source,
    })
}

/// Sets the host's end up and opens a socket at it. May be repeated.
pub(super) fn open(
    alias: &str,
    endpoint: &EndpointId,
    mtu: u32,
) -> Result<PacketSocket, EngineError> {
    let name = host_end(endpoint);
    let mut links = Links::open().map_err(from_link)?;
    let link = find_made(&mut links, &name)?;
    if link.alias.as_deref().is_some_and(|it| it != alias) {
        return Err(EngineError::Host {
            what: format!("a link that is not this agent's has the name {name}"),
            remedy: format!("remove it with `ip link delete {name}`"),
        });
    }
    links.seclude(link.index).map_err(|error| from_kernel(error, "sch_ingress cls_bpf"))?;
    let socket = PacketSocket::open(name.as_str(), link.index).map_err(from_socket)?;
    let (mtu, alias) = (Some(mtu), Some(alias.to_owned()));
    let change = LinkChange { mtu, alias, up: Some(true), ..LinkChange::default() };
    links.set(link.index, &change).map_err(from_link)?;
    Ok(socket)
}

/// What the kernel refused because it lacks these `modules`, or for another reason.
fn from_kernel(error: LinkError, modules: &str) -> EngineError {
    if !error.is_unknown_kind() {
        return from_link(error);
    }
    EngineError::Host {
        what: format!("{error}: this kernel lacks what `attach=veth` needs"),
        remedy: format!("`modprobe {modules}` where there are such modules, or use `attach=auto`"),
    }
}

fn from_socket(error: PacketSocketError) -> EngineError {
    let what = error.to_string();
    match error {
        PacketSocketError::NotPermitted(_) => EngineError::Host {
            what,
            remedy: "give the service or container of the agent CAP_NET_RAW, or use `attach=auto`"
                .to_owned(),
        },
        PacketSocketError::Unsupported { source, .. } => EngineError::Host {
            what: format!("{what} ({source})"),
            remedy: "use `attach=auto`".to_owned(),
        },
        PacketSocketError::Io { source, .. } => EngineError::Io { what, source },
        _ => EngineError::Io { what, source: std::io::ErrorKind::Other.into() },
    }
}
