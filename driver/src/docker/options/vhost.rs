//! The options of vhost-user devices.

use super::{EndpointOptions, OptionSpec, Text};
use crate::model::VhostName;

pub(super) const MEMORY: OptionSpec<EndpointOptions> = OptionSpec {
    key: "vhost-user.memory",
    values: "16MiB..1TiB",
    default: "4GiB",
    doc: "Memory that a front end may share, with attach=vhost-user: that of its virtual machine.",
    apply: |options, text| memory(text).map(|memory| options.vhost.memory = Some(memory)),
};

pub(super) const QUEUES: OptionSpec<EndpointOptions> = OptionSpec {
    key: "vhost-user.queues",
    values: "1..16",
    default: "8",
    doc: "Largest number of queues in each direction, with attach=vhost-user.",
    apply: |options, text| text.queues().map(|queues| options.vhost.queues = Some(queues)),
};

pub(super) const SOCKET: OptionSpec<EndpointOptions> = OptionSpec {
    key: "vhost-user.socket",
    values: "1 to 64 letters, digits, `-`, `_` and `.`",
    default: "the first 12 characters of the endpoint's id",
    doc: "With attach=vhost-user: the socket is the file `socket` in the folder of this name in the \
          agent's `--vhost-user-dir`. Mount the folder, not the file: it outlives restarts.",
    apply: |options, text| name(text).map(|name| options.vhost.socket = Some(name)),
};

fn name(text: &Text) -> Result<VhostName, &'static str> {
    VhostName::try_from(text.0.clone())
        .map_err(|_| "1 to 64 letters, digits, `-`, `_` and `.`, no `.` at the start")
}

/// A size in MiB.
fn memory(text: &Text) -> Result<u32, &'static str> {
    let text = text.0.to_ascii_lowercase();
    let units = [("mib", 0), ("gib", 10), ("tib", 20), ("m", 0), ("g", 10), ("t", 20)];
    let unit = units.iter().find(|(name, _)| text.ends_with(name));
    unit.and_then(|(name, shift)| {
        let number: u32 = text.strip_suffix(name)?.trim_end().parse().ok()?;
        number.checked_mul(1 << shift)
    })
    .filter(|mebibytes| (16..=1 << 20).contains(mebibytes))
    .ok_or("a size with its unit, 16MiB..1TiB")
}
