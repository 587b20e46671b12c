//! `dockervpp cdi`: the preload library as a device of the Container Device Interface, for engines
//! that read such files (Docker 25 and newer, Podman, containerd).

use miette::IntoDiagnostic;
use serde_json::json;

use crate::cli::{CdiArgs, SHIM_INSIDE};

/// The version of the interface that has all that is used here (CDI specification, SPEC.md).
const VERSION: &str = "0.5.0";

/// Vendor and class of the device.
pub const KIND: &str = "dockervpp.io/shim";

/// The name of the only device.
pub const DEVICE: &str = "default";

/// Prints the file.
pub fn run(arguments: &CdiArgs) -> miette::Result<()> {
    let file = json!({
        "cdiVersion": VERSION,
        "kind": KIND,
        "devices": [{
            "name": DEVICE,
            "containerEdits": {
                "env": [format!("LD_PRELOAD={SHIM_INSIDE}")],
                "mounts": [{
                    "hostPath": arguments.shim.to_string_lossy(),
                    "containerPath": SHIM_INSIDE,
                    "options": ["bind", "ro", "nosuid", "nodev"],
                }],
            },
        }],
    });
    let mut text = serde_json::to_string_pretty(&file).into_diagnostic()?;
    text.push('\n');
    Ok(super::output::print(&text)?)
}
