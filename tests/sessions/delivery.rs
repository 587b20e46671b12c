//! How the preload library comes into containers: `dockervpp run`, the library itself on musl, and what
//! it asks of any C library.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::RunOptions;
use kit::lab::{Lab, docker_test};
use kit::need::Need;
use kit::process::{Process, run};
use kit::{Container, Image, Network, programs, unique, wait};

const SOON: Duration = Duration::from_secs(20);

const SHIM: &str = "/usr/lib/dockervpp/libvcl_shim.so";

/// `dockervpp run` with this library and the driver of the test.
fn dockervpp_run(lab: &Lab, shim: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(programs::agent()?);
    command.arg("run").arg("--shim").arg(shim);
    command.args(["--driver", lab.agent.driver()]).args(arguments);
    Ok(command)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Runs a shell in a container until it ends; what it printed, and its exit code.
fn shell(lab: &Lab, network: &Network, flags: &[&str], line: &str) -> Result<(String, i32)> {
    let image = lab.busybox()?;
    let name = unique("c");
    let mut arguments = vec!["--rm", "--name", &name, "--network", network.name()];
    arguments.extend(flags);
    arguments.extend([image.name(), "sh", "-c", line]);
    let output = dockervpp_run(lab, &programs::shim()?, &arguments)?.output()?;
    Ok((text(&output.stdout), output.status.code().context("docker ends by itself")?))
}

#[test]
fn run_adds_the_library_and_nothing_else_changes() {
    docker_test(&[], |lab| {
        let network = lab.network(&[])?;
        let (said, code) = shell(lab, &network, &[], &format!("echo $LD_PRELOAD; test -f {SHIM}"))?;
        ensure!((said.as_str(), code) == (SHIM, 0), "{said}, {code}");
        let (_, code) = shell(lab, &network, &[], "exit 42")?;
        ensure!(code == 42, "exit code {code}");
        let (said, code) = shell(lab, &network, &[], &format!("echo x >{SHIM}"))?;
        ensure!(code != 0, "the library can be written: {said}");
        let (said, _) =
            shell(lab, &network, &["-e", "A=b", "-eLD_PRELOAD=/x.so"], "echo $A $LD_PRELOAD")?;
        ensure!(said == format!("b /x.so:{SHIM}"), "{said}");
        let file = tempfile::NamedTempFile::new()?;
        fs::write(&file, "LD_PRELOAD=/y.so\n")?;
        let path = file.path().to_string_lossy().into_owned();
        let (said, _) = shell(lab, &network, &["--env-file", &path], "echo $LD_PRELOAD")?;
        ensure!(said == format!("/y.so:{SHIM}"), "{said}");
        Ok(())
    });
}

#[test]
fn run_passes_signals_and_the_exit_code_on() {
    docker_test(&[], |lab| {
        let network = lab.network(&[])?;
        let image = lab.busybox()?;
        let name = unique("c");
        let line = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";
        let arguments =
            ["--rm", "--name", &name, "--network", network.name(), image.name(), "sh", "-c", line];
        let mut command = dockervpp_run(lab, &programs::shim()?, &arguments)?;
        let mut process = Process::start("dockervpp run", &mut command)?;
        process.line_after(0, SOON, "it runs", |line| (line == "ready").then_some(()))?;
        process.signal(rustix::process::Signal::TERM)?;
        let status = process.wait(SOON)?;
        ensure!(status.code() == Some(7), "{status}");
        Ok(())
    });
}

#[test]
fn run_refuses_what_would_do_nothing() {
    docker_test(&[], |lab| {
        let image = lab.busybox()?;
        let refused_with = |shim: &Path, arguments: &[&str], word: &str| -> Result<()> {
            let output = dockervpp_run(lab, shim, arguments)?.output()?;
            let said = text(&output.stderr);
            ensure!(output.status.code() == Some(1), "{arguments:?}: {}: {said}", output.status);
            ensure!(said.contains(word), "{arguments:?}: {said}");
            Ok(())
        };
        let shim = programs::shim()?;
        let refused = |arguments: &[&str], word: &str| refused_with(&shim, arguments, word);
        let name = image.name();
        refused(&["--rm", name, "true"], "no network is named")?;
        refused(&["--rm", name, "true", "--network", "x"], "no network is named")?;
        for other in ["host", "none", "bridge", "container:x"] {
            refused(&["--rm", "--network", other, name, "true"], "has no driver")?;
        }
        let bridge = Network::create("bridge", &[])?;
        refused(&["--rm", "--network", bridge.name(), name, "true"], "has driver bridge")?;
        refused(&["--rm", "--network", "no-such", name, "true"], "does not know the network")?;
        let ours = lab.network(&[])?;
        let nowhere = Path::new("/nowhere/lib.so");
        let good = ["--network", ours.name(), name, "true"];
        refused_with(nowhere, &good, "the preload library is not at /nowhere/lib.so")
    });
}

#[test]
fn cdi_file_mounts_and_preloads_the_library() -> Result<()> {
    let text = run(Command::new(programs::agent()?).args(["cdi", "--shim", "/opt/x.so"]))?;
    let file: serde_json::Value = serde_json::from_str(&text)?;
    ensure!(file["kind"] == "dockervpp.io/shim", "{file}");
    let edits = &file["devices"][0]["containerEdits"];
    ensure!(edits["env"][0] == format!("LD_PRELOAD={SHIM}"), "{file}");
    ensure!(edits["mounts"][0]["hostPath"] == "/opt/x.so", "{file}");
    ensure!(edits["mounts"][0]["containerPath"] == SHIM, "{file}");
    Ok(())
}

/// What every glibc since 2.31 and every musl since 1.2 has. Not `memcpy`: asked for without a version, glibc gives its
/// oldest, for processors without AVX.
const EXPECTED: &[&str] = &[
    "__errno_location",
    "abort",
    "calloc",
    "clock_gettime",
    "environ",
    "fflush",
    "fopencookie",
    "free",
    "malloc",
    "memmove",
    "memset",
    "setvbuf",
    "strlen",
    "syscall",
    "vasprintf",
];

#[test]
fn library_needs_no_c_library_and_few_functions_of_any() -> Result<()> {
    let library = programs::shim()?;
    let symbols = run(Command::new("nm").args(["-D", "--undefined-only"]).arg(&library))?;
    let mut surplus = BTreeSet::new();
    for line in symbols.lines() {
        let mut words = line.split_whitespace();
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        ensure!(!name.contains('@'), "{name} asks for a version of a C library");
        // Weak ones may be absent: the library looks before it uses them.
        if kind == "U" && !EXPECTED.contains(&name) {
            surplus.insert(name);
        }
    }
    ensure!(surplus.is_empty(), "more is taken from the C library: {surplus:?}");
    let dynamic = run(Command::new("readelf").arg("-d").arg(&library))?;
    ensure!(!dynamic.contains("(NEEDED)"), "it is linked against a library: {dynamic}");
    ensure!(!dynamic.contains("(TEXTREL)"), "its code needs relocation: {dynamic}");
    Ok(())
}

/// A C program that is linked against musl, and musl's loader.
fn musl_program(folder: &tempfile::TempDir) -> Result<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/sessions/inside/stream.c");
    let program = folder.path().join("stream");
    run(Command::new("musl-gcc")
        .args(["-O2", "-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(source))?;
    Ok(program)
}

#[test]
fn program_linked_against_musl_speaks_over_sessions() {
    docker_test(&[Need::Musl], |lab| {
        let folder = tempfile::tempdir()?;
        musl_program(&folder)?;
        let loader = format!("/lib/ld-musl-{}.so.1", std::env::consts::ARCH);
        let network = lab.network(&["-o", "attach=userspace"])?;
        let mounts = format!("{}:/programs:ro", folder.path().display());
        let loader = format!("{loader}:{loader}:ro");
        let options =
            RunOptions::default().on(&network).flags(&["-v", &mounts, "-v", &loader]).shimmed()?;
        let image = Image::busybox()?;
        let [server, client] =
            [Container::run(&image, &options)?, Container::run(&image, &options)?];
        let mut serving = server.exec_start(&["/programs/stream"])?;
        wait::until(SOON, "the server listens", || {
            Ok((!lab.agent.list("listeners")?.is_empty()).then_some(()))
        })?;
        let address = server.address(&network)?.to_string();
        let said = client.exec_ok(&["/programs/stream", &address])?;
        let status = serving.wait(SOON)?;
        ensure!(status.success(), "the server: {status}: {:?}", serving.output());
        ensure!(
            serving.output() == [said.clone()],
            "client: {said}, server: {:?}",
            serving.output()
        );
        Ok(())
    });
}
