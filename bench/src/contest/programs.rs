//! Unmodified programs in two containers, one on each CPU.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kit::docker::RunOptions;
use kit::{Agent, Container, Image, Network, wait};
use serde_json::Value;

use super::{Contest, Fixtures, Placement, Plan, Sample};
use crate::benchmark::{Joint, Work};

/// Longest time until a server answers.
const LIMIT: Duration = Duration::from_secs(20);

/// Where the preload library is in a container.
const SHIM_INSIDE: &str = "/usr/lib/libvcl_shim.so";

/// The contestant.
#[derive(Debug)]
pub(super) struct Programs {
    work: Work,
    client: Container,
    server: Container,
    address: String,
    /// Files that the containers read.
    _files: tempfile::TempDir,
    /// Dropped after the containers and before the agent that serves it.
    _network: Network,
    agent: Option<Rc<Agent>>,
}

impl Programs {
    /// Starts both containers, and the server in its own.
    pub(super) fn prepare(work: Work, joint: Joint, fixtures: &mut Fixtures) -> Result<Self> {
        let image = Image::session_programs()?;
        let (network, agent, shims) = match joint {
            Joint::DockerBridge => (Network::create("bridge", &[])?, None, (false, false)),
            Joint::Ours { attach, server, client } => {
                let agent = fixtures.agent()?;
                let network =
                    Network::create(agent.driver(), &["-o", &format!("attach={attach}")])?;
                (network, Some(agent), (server, client))
            }
            Joint::Loopback | Joint::UnixSocket => bail!("programs run in containers only"),
        };
        let files = files()?;
        // Containers are pinned when they are made.
        let cores = fixtures.cores;
        let options = |shim: bool, cpu: usize| -> Result<RunOptions> {
            let mount = format!("{}:/bench:ro", files.path().display());
            let cpu = cpu.to_string();
            let mut flags = vec!["--cpuset-cpus", &cpu, "-v", &mount];
            let passwd = format!("{}/passwd:/etc/passwd:ro", files.path().display());
            let group = format!("{}/group:/etc/group:ro", files.path().display());
            flags.extend(["-v", &passwd, "-v", &group]);
            let library = kit::programs::shim()?;
            let library = format!("{}:{SHIM_INSIDE}:ro", library.display());
            let preload = format!("LD_PRELOAD={SHIM_INSIDE}");
            if shim {
                flags.extend(["-v", &library, "-e", &preload]);
            }
            Ok(RunOptions::default().flags(&flags).on(&network))
        };
        let serving = options(shims.0, cores.first)?.command(server_command(work));
        let server = Container::run(&image, &serving)?;
        let client = Container::run(&image, &options(shims.1, cores.second)?)?;
        let address = server.address(&network)?.to_string();
        let contestant =
            Self { work, client, server, address, _files: files, _network: network, agent };
        wait::until(LIMIT, "the server answers", || {
            Ok(contestant.drive(Duration::from_secs(1)).ok().map(drop))
        })?;
        Ok(contestant)
    }

    /// Has the client work for about `length`.
    fn drive(&self, length: Duration) -> Result<f64> {
        let address = self.address.as_str();
        let seconds = length.as_secs().max(1).to_string();
        match self.work {
            Work::Stream => {
                let output = self.client(&["iperf3", "-c", address, "-t", &seconds, "-J"])?;
                let report: Value = serde_json::from_str(&output).context("iperf3 prints JSON")?;
                let bits = report["end"]["sum_received"]["bits_per_second"].as_f64();
                Ok(bits.context("iperf3 received something")? / 1e9)
            }
            Work::PingPong { per_mille } => {
                // Faster than 600,000 a second sockperf 3.7 runs out of room for its own records.
                let output = self.client(&[
                    "sockperf",
                    "ping-pong",
                    "--tcp",
                    "-i",
                    address,
                    "-p",
                    "11111",
                    "-t",
                    &seconds,
                    "-m",
                    "64",
                    "--full-rtt",
                    "--mps",
                    "250000",
                ])?;
                percentile(&output, per_mille)
            }
            Work::Redis { clients, pipeline } => {
                let (clients, pipeline) = (clients.to_string(), pipeline.to_string());
                let requests = if clients == "1" { "50000" } else { "200000" };
                let output = self.client(&[
                    "redis-benchmark",
                    "-h",
                    address,
                    "-c",
                    &clients,
                    "-P",
                    &pipeline,
                    "-n",
                    requests,
                    "-t",
                    "get",
                    "--csv",
                ])?;
                let line = output.lines().find(|line| line.starts_with("\"GET\""));
                let rate = line
                    .and_then(|line| line.split('"').nth(3))
                    .with_context(|| format!("redis-benchmark prints a rate: {output}"))?;
                Ok(rate.parse::<f64>()? / 1e3)
            }
            Work::Web { keep_alive } => {
                let url = format!("http://{address}:8080/");
                let length = format!("{seconds}s");
                let mut command = vec!["wrk", "-t", "1", "-c", "50", "-d", &length];
                if !keep_alive {
                    command.extend(["-H", "Connection: close"]);
                }
                command.push(&url);
                let output = self.client(&command)?;
                if let Some(errors) = output.lines().find(|line| line.contains("Socket errors")) {
                    bail!("wrk: {errors}");
                }
                let line =
                    output.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
                let rate = line.with_context(|| format!("wrk prints a rate: {output}"))?;
                Ok(rate.trim().parse::<f64>()? / 1e3)
            }
        }
    }

    fn client(&self, command: &[&str]) -> Result<String> {
        let done = self.client.exec(command)?;
        ensure!(done.success, "{command:?}: {}{}", done.output, done.errors);
        Ok(done.output)
    }

    /// CPU seconds that both containers and the agent have used so far.
    fn cpu_seconds(&self) -> Result<f64> {
        let mut seconds = cgroup_seconds(self.server.pid()?)? + cgroup_seconds(self.client.pid()?)?;
        if let Some(agent) = &self.agent {
            let used: u64 = crate::cpu_time::threads(agent.pid()?)?.values().sum();
            seconds += Duration::from_nanos(used).as_secs_f64();
        }
        Ok(seconds)
    }
}

impl Contest for Programs {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("the server's container", plan.cores.first),
            Placement::on("the client's container", plan.cores.second),
            Placement::anywhere("the agent"),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let before = self.cpu_seconds()?;
        let value = self.drive(plan.warm_up + plan.length)?;
        let used = self.cpu_seconds()? - before;
        let seconds = (plan.warm_up + plan.length).as_secs().max(1);
        let mut sample = Sample::new(value, [("CPU seconds", used)])?;
        if self.work == Work::Stream {
            #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
            let gibibytes = value * 1e9 / 8.0 * seconds as f64 / f64::from(1 << 30);
            sample = sample.with([("CPU seconds per GiB", used / gibibytes)]);
        }
        Ok(sample)
    }
}

fn server_command(work: Work) -> &'static [&'static str] {
    match work {
        Work::Stream => &["iperf3", "-s"],
        Work::PingPong { .. } => &["sockperf", "server", "--tcp", "-i", "0.0.0.0", "-p", "11111"],
        Work::Redis { .. } => {
            &["redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no"]
        }
        Work::Web { .. } => &["nginx", "-c", "/bench/nginx.conf"],
    }
}

/// What the containers read: nginx's configuration and page, and a user for it.
fn files() -> Result<tempfile::TempDir> {
    const NGINX: &str = "user root; daemon off; worker_processes 1; pid /tmp/nginx.pid;
error_log stderr; events { worker_connections 1024; }
http {
  access_log off; sendfile on; keepalive_requests 1000000000;
  client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3;
  uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
  server { listen 8080 backlog=4096; location / { root /bench/page; } }
}
";
    let folder = tempfile::tempdir()?;
    let path = folder.path();
    fs::write(path.join("nginx.conf"), NGINX)?;
    fs::write(path.join("passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    fs::write(path.join("group"), "root:x:0:\n")?;
    fs::create_dir(path.join("page"))?;
    fs::write(path.join("page/index.html"), "x".repeat(612))?;
    Ok(folder)
}

/// The line of sockperf's report for a percentile, in microseconds.
fn percentile(report: &str, per_mille: u16) -> Result<f64> {
    let name = format!("percentile {}.{}00", per_mille / 10, per_mille % 10);
    let line = report.lines().find(|line| line.contains(&name));
    let line = line.with_context(|| format!("sockperf prints {name}: {report}"))?;
    let value = line.rsplit('=').next().unwrap_or_default().trim();
    value.parse().with_context(|| format!("sockperf prints numbers: {line}"))
}

/// CPU time of all processes in the control group of a process, in seconds.
fn cgroup_seconds(process: u32) -> Result<f64> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup"))?;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next(), parts.next());
        let path = path.context("the kernel lists control groups")?.trim_start_matches('/');
        match controllers.unwrap_or_default() {
            "" => {
                let file = Path::new("/sys/fs/cgroup").join(path).join("cpu.stat");
                let Ok(text) = fs::read_to_string(file) else { continue };
                let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
                return Ok(usage.context("cpu.stat counts")?.parse::<f64>()? / 1e6);
            }
            list if list.split(',').any(|it| it == "cpuacct") => {
                for folder in [list, "cpuacct"] {
                    let file = Path::new("/sys/fs/cgroup").join(folder).join(path);
                    if let Ok(text) = fs::read_to_string(file.join("cpuacct.usage")) {
                        return Ok(text.trim().parse::<f64>()? / 1e9);
                    }
                }
            }
            _ => {}
        }
    }
    bail!("no control group of process {process} counts CPU time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_report() {
        let report = "sockperf: ---> percentile 99.000 =   12.345\n\
                      sockperf: ---> percentile 50.000 =    1.250\n";
        let shown = |per_mille| percentile(report, per_mille).unwrap().to_string();
        assert_eq!([shown(500), shown(990)], ["1.25", "12.345"]);
        assert!(percentile(report, 999).is_err());
    }

    #[test]
    fn this_process_has_used_some() {
        assert!(cgroup_seconds(std::process::id()).unwrap() > 0.0);
    }
}
