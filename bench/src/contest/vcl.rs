//! Unmodified programs on the host with VPP's own preload library, one on each CPU.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::process::{Process, run};
use kit::vpp::Vpp;
use kit::wait;

use super::work::{client_command, figure, server_command};
use super::{Contest, Placement, Plan, Sample, cpu_time};
use crate::benchmark::Work;
use crate::cores::Cores;

/// Longest time until a server answers.
const LIMIT: Duration = Duration::from_secs(20);

/// Longest time of one run of a client, in seconds: one that hangs ends the contestant.
const PATIENCE: &str = "30";

/// The address that VPP has.
pub(super) const ADDRESS: &str = "10.79.0.1";

/// The contestant.
#[derive(Debug)]
pub(super) struct Vcl {
    work: Work,
    server: Process,
    cores: Cores,
    vpp: Vpp,
}

impl Vcl {
    /// Starts a VPP that sleeps between its rounds, so that the programs have both CPUs to themselves, and
    /// the server. What the programs say to each other does not go through VPP: its library hands them
    /// the two ends of one queue.
    pub(super) fn prepare(work: Work, cores: Cores) -> Result<Self> {
        let vpp = start_vpp()?;
        let configuration = format!(
            "vcl {{\n  app-socket-api {}\n  app-scope-local\n  app-scope-global\n  use-mq-eventfd\n  \
             rx-fifo-size 4000000\n  tx-fifo-size 4000000\n  event-queue-size 100000\n  \
             segment-size 268435456\n  add-segment-size 268435456\n}}\n",
            vpp.app_socket()
        );
        fs::write(vpp.folder().join("vcl.conf"), configuration)?;
        let words = server_command(work).iter().chain(ipv4_only(work)).copied();
        let server = Process::start("server on VCL", &mut preloaded(&vpp, cores.first, words)?)?;
        let contestant = Self { work, server, cores, vpp };
        wait::until(LIMIT, "the server on VCL answers", || {
            Ok(contestant.drive(Duration::from_secs(1)).ok().map(drop))
        })
        .with_context(|| contestant.server.output().join("\n"))?;
        Ok(contestant)
    }

    /// Has the client work for about `length`.
    fn drive(&self, length: Duration) -> Result<f64> {
        let line = client_command(self.work, ADDRESS, length);
        let words = ["timeout", PATIENCE].into_iter().chain(line.iter().map(String::as_str));
        let report = run(&mut preloaded(&self.vpp, self.cores.second, words)?)?;
        figure(self.work, &report)
    }
}

impl Contest for Vcl {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("the server", plan.cores.first),
            Placement::on("the client", plan.cores.second),
            Placement::anywhere("VPP, which sleeps between its rounds"),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let used = || -> Result<u64> {
            let all = [self.server.pid(), self.vpp.pid()];
            all.into_iter().map(|pid| Ok(cpu_time::threads(pid)?.values().sum::<u64>())).sum()
        };
        let before = used()?;
        let value = self.drive(plan.warm_up + plan.length)?;
        let seconds = Duration::from_nanos(used()? - before).as_secs_f64();
        Sample::new(value, [("CPU seconds of server and VPP", seconds)])
    }
}

/// Starts a VPP that sleeps between its rounds and has [`ADDRESS`].
pub(super) fn start_vpp() -> Result<Vpp> {
    Vpp::start(&[
        "create loopback interface",
        "set interface state loop0 up",
        &format!("set interface ip address loop0 {ADDRESS}/24"),
    ])
}

/// What makes a server listen with IPv4: of one that listens on `::` VPP 26.06 refuses IPv4.
const fn ipv4_only(work: Work) -> &'static [&'static str] {
    match work {
        Work::Stream => &["-4"],
        _ => &[],
    }
}

/// A command on one CPU with VPP's preload library.
fn preloaded<'a>(
    vpp: &Vpp,
    cpu: usize,
    words: impl IntoIterator<Item = &'a str>,
) -> Result<Command> {
    let library = vpp.files().library.with_file_name("libvcl_ldpreload.so");
    ensure!(library.is_file(), "{} is not there", library.display());
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]);
    command.arg("env").arg(format!("VCL_CONFIG={}", vpp.folder().join("vcl.conf").display()));
    command.arg(format!("LD_PRELOAD={}", library.display())).args(words);
    Ok(command)
}
