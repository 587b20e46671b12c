//! `dockervpp run`: `docker run` with the preload library in the container.
//!
//! The process becomes `docker run`, so that terminal, signals and exit code are Docker's own. Two
//! flags are put in front of the image: the mount of the library and `LD_PRELOAD`. What the user
//! preloads, by flag, file or image, is kept.

pub mod line;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use miette::{Context, IntoDiagnostic, miette};

use crate::cli::{RunArgs, SHIM_INSIDE};
use line::{Line, Setting, preload_in_file, with_library};

/// Networks that are none: they have no driver that could be ours.
const NOT_OURS: [&str; 5] = ["", "bridge", "default", "host", "none"];

/// Runs the command; comes back only when Docker was not started.
pub fn run(arguments: &RunArgs) -> miette::Result<()> {
    let line = Line::read(&arguments.docker_arguments);
    check_library(&arguments.shim)?;
    check_networks(arguments, &line)?;
    let preload = with_library(preload(arguments, &line)?.as_deref(), SHIM_INSIDE);
    let (flags, image) = arguments.docker_arguments.split_at(line.end_of_flags);
    let mut mount = OsString::from("--volume=");
    mount.push(&arguments.shim);
    mount.push(format!(":{SHIM_INSIDE}:ro"));
    let error = Command::new(&arguments.docker)
        .arg("run")
        .args(flags)
        .arg(mount)
        .arg(format!("--env=LD_PRELOAD={preload}"))
        .args(image)
        .exec();
    Err(error)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot start {}", arguments.docker.display()))
}

/// Docker would make a directory of a path that is not there, and the container would preload nothing.
fn check_library(library: &Path) -> miette::Result<()> {
    if !library.is_absolute() {
        return Err(miette!(
            help = "Docker mounts files by their whole path",
            "the preload library's path `{}` is not absolute",
            library.display()
        ));
    }
    if library.is_file() {
        return Ok(());
    }
    Err(miette!(
        help = "`make install` puts it there; `--shim` or DOCKERVPP_SHIM_FILE say where else it is",
        "the preload library is not at {}",
        library.display()
    ))
}

/// Without a network of the agent the library would do nothing, which is not what was asked for.
fn check_networks(arguments: &RunArgs, line: &Line) -> miette::Result<()> {
    let driver = &arguments.driver;
    if line.networks.is_empty() {
        return Err(miette!(
            help = "docker network create -d {driver} NAME, then: dockervpp run --network NAME …",
            "no network is named, and Docker's default network is not the agent's: sockets of the \
             container would stay in the kernel"
        ));
    }
    let mut others = Vec::new();
    for network in &line.networks {
        match driver_of(arguments, network)? {
            Some(it) if it == *driver => return Ok(()),
            Some(it) => others.push(format!("`{network}` has driver {it}")),
            None => others.push(format!("`{network}` has no driver")),
        }
    }
    Err(miette!(
        help = "docker network create -d {driver} NAME makes one; `--driver` or DOCKERVPP_DRIVER \
                name the driver of an agent that runs under another name",
        "the container would be on no network of driver {driver}: {}",
        others.join(", ")
    ))
}

/// The driver of a network; none when it is another container's, or no network.
fn driver_of(arguments: &RunArgs, network: &str) -> miette::Result<Option<String>> {
    if NOT_OURS.contains(&network) || network.starts_with("container:") {
        return Ok(None);
    }
    let ask = ["network", "inspect", "--format", "{{.Driver}}", "--", network];
    let output = Command::new(&arguments.docker).args(ask).output();
    let output = output
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot start {}", arguments.docker.display()))?;
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(miette!("Docker does not know the network `{network}`: {said}"))
}

/// What the container would preload otherwise: flags before files before the image, the last of each.
fn preload(arguments: &RunArgs, line: &Line) -> miette::Result<Option<String>> {
    let mut setting = line.preload.last().cloned();
    for file in line.env_files.iter().rev() {
        if setting.is_some() {
            break;
        }
        let text = std::fs::read_to_string(file);
        let text = text.into_diagnostic().wrap_err_with(|| format!("cannot read {file}"))?;
        setting = preload_in_file(&text);
    }
    Ok(match setting {
        Some(Setting::To(value)) => Some(value),
        Some(Setting::Inherited) => std::env::var("LD_PRELOAD").ok(),
        None => line.image.as_deref().and_then(|image| image_preload(arguments, image)),
    })
}

/// What the image preloads. One that is not here yet is not pulled to be asked.
fn image_preload(arguments: &RunArgs, image: &str) -> Option<String> {
    let ask = ["image", "inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", "--"];
    let output = Command::new(&arguments.docker).args(ask).arg(image).output().ok()?;
    let text =
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())?;
    match preload_in_file(&text)? {
        Setting::To(value) => Some(value),
        Setting::Inherited => None,
    }
}
