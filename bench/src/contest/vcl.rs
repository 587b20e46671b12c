//! Unmodified programs on the host with VPP's own preload library, one on each CPU.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::process::{Process, run};
use kit::vpp::{Vpp, VppOptions};
use kit::wait;
use rustix::process::Signal;

use super::vcl_ways::End;
use super::work::{client_command, figure, server_command};
use super::{Contest, Placement, Plan, Sample, count, cpu_time, vpp_counters};
use crate::benchmark::{VclWay, Work};
use crate::cores::Cores;

/// Longest time until a server answers.
const LIMIT: Duration = Duration::from_secs(20);

/// Longest time of one run of a client, in seconds: one that hangs ends the contestant.
const PATIENCE: &str = "30";

/// The contestant.
#[derive(Debug)]
pub(super) struct Vcl {
    work: Work,
    way: VclWay,
    server: Process,
    cores: Cores,
    vpp: Vpp,
}

impl Vcl {
    /// Starts VPP and the server. Where the bytes go past VPP, it sleeps between its rounds, so that the programs have both
    /// CPUs to themselves.
    pub(super) fn prepare(work: Work, way: VclWay, cores: Cores) -> Result<Self> {
        let options = if way.is_through_tcp() { eager() } else { VppOptions::default() };
        let vpp = Vpp::start_with(options, &[])?;
        for command in way.commands() {
            vpp.cli(&command)?;
        }
        let sockets = vpp.folder().join("app_ns_sockets");
        for end in End::BOTH {
            let configuration = way.configuration(end, &sockets.display().to_string());
            fs::write(vpp.folder().join(end.file()), configuration)?;
        }
        let words = server_command(work).iter().chain(ipv4_only(work)).copied();
        let mut command = preloaded(&vpp, End::Server, cores.first, words)?;
        let server = Process::start("server on VCL", &mut command)?;
        let contestant = Self { work, way, server, cores, vpp };
        wait::until(LIMIT, "the server on VCL answers", || {
            Ok(contestant.drive(Duration::from_secs(1)).ok().map(drop))
        })
        .with_context(|| contestant.server.output().join("\n"))?;
        contestant.pause()?;
        Ok(contestant)
    }

    /// Keeps VPP and the server from the CPUs while others have their turn: a server that waits for a connection polls, in
    /// VPP's library, and takes all of a CPU that it can get.
    fn pause(&self) -> Result<()> {
        self.server.signal(Signal::STOP)?;
        self.vpp.pause()
    }

    fn resume(&self) -> Result<()> {
        self.vpp.resume()?;
        self.server.signal(Signal::CONT)
    }

    /// Has the client work for about `length`.
    fn drive(&self, length: Duration) -> Result<f64> {
        let line = client_command(self.work, self.way.address(), length);
        let words = line.iter().map(String::as_str);
        let report = run(&mut preloaded(&self.vpp, End::Client, self.cores.second, words)?)?;
        figure(self.work, &report)
    }
}

impl Contest for Vcl {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        let vpp = if self.way.is_through_tcp() {
            "VPP, which sleeps when there is nothing to do"
        } else {
            "VPP, which sleeps between its rounds"
        };
        vec![
            Placement::on("the server", plan.cores.first),
            Placement::on("the client", plan.cores.second),
            Placement::anywhere(vpp),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        self.resume()?;
        let sample = self.measure(plan);
        self.pause()?;
        sample
    }
}

impl Vcl {
    fn measure(&self, plan: &Plan) -> Result<Sample> {
        let length = plan.warm_up + plan.length;
        let used = || -> Result<[f64; 2]> {
            Ok([cpu_time::seconds(self.server.pid())?, cpu_time::seconds(self.vpp.pid())?])
        };
        let (before, packets) = (used()?, vpp_counters::received_by_tcp(&self.vpp)?);
        let value = self.drive(length)?;
        let after = used()?;
        let (server, vpp) = (after[0] - before[0], after[1] - before[1]);
        let sample = Sample::new(value, [("CPU seconds of server and VPP", server + vpp)])?;
        if !self.way.is_through_tcp() {
            return Ok(sample);
        }
        let packets = vpp_counters::received_by_tcp(&self.vpp)? - packets;
        vpp_counters::went_through_tcp(packets, self.work, value, length)?;
        Ok(sample.with([
            ("CPU seconds of VPP", vpp),
            ("thousand packets with data through VPP's TCP", count(packets) / 1e3),
        ]))
    }
}

/// How a VPP behaves that all bytes go through: one that sleeps after each round carries a third of what it could, and one that
/// does not sleeps anyway when there is nothing to do.
pub(super) fn eager() -> VppOptions {
    VppOptions { sleeps: false, ..VppOptions::default() }
}

/// Starts a VPP that sleeps between its rounds and has [`ADDRESS`](super::vcl_ways::ADDRESS).
pub(super) fn start_vpp() -> Result<Vpp> {
    let commands = VclWay::CutThrough.commands();
    Vpp::start(&commands.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What makes a server listen with IPv4: of one that listens on `::` VPP 26.06 refuses IPv4.
const fn ipv4_only(work: Work) -> &'static [&'static str] {
    match work {
        Work::Stream => &["-4"],
        _ => &[],
    }
}

/// A command on one CPU with VPP's preload library; a client has a limit of time.
fn preloaded<'a>(
    vpp: &Vpp,
    end: End,
    cpu: usize,
    words: impl IntoIterator<Item = &'a str>,
) -> Result<Command> {
    let library = vpp.files().library.with_file_name("libvcl_ldpreload.so");
    ensure!(library.is_file(), "{} is not there", library.display());
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]);
    if end == End::Client {
        // Outside of what has the library: with it `timeout` itself can hang when its child has ended.
        command.args(["timeout", PATIENCE]);
    }
    command.arg("env").arg(format!("VCL_CONFIG={}", vpp.folder().join(end.file()).display()));
    command.arg(format!("LD_PRELOAD={}", library.display())).args(words);
    Ok(command)
}
