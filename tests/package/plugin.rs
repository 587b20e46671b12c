//! The managed plugin: pushed to a registry, installed from it, used by containers of every kind, killed, disabled and
//! upgraded under them, and removed.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kit::docker::{RunOptions, docker};
use kit::lab::Turn;
use kit::need::{self, Need};
use kit::process::{Process, run};
use kit::{Container, Image, Network, World, programs, unique, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::made;
use crate::pulse::Pulse;

/// Docker looks for a plugin's socket four times, three seconds apart.
const SOON: Duration = Duration::from_secs(30);

/// How many bytes go there and back.
const MIB: &str = "1048576";

/// A registry of this host alone.
struct Registry {
    port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Registry {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:{port}', secret: test}}\n",
            folder.path().join("data").display()
        );
        fs::write(&config, text)?;
        let mut command = Command::new("docker-registry");
        let process = Process::start("registry", command.arg("serve").arg(&config))?;
        wait::until_ok(SOON, "the registry listens", || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port))?)
        })?;
        Ok(Self { port, _process: process, _folder: folder })
    }

    /// Makes a plugin of a folder and keeps it here alone.
    fn take(&self, tag: &str, folder: &Path) -> Result<String> {
        let name = format!("127.0.0.1:{}/dvt/plugin:{tag}", self.port);
        docker(&["plugin", "create", &name, &folder.display().to_string()])?;
        docker(&["plugin", "push", &name])?;
        docker(&["plugin", "rm", &name])?;
        Ok(name)
    }
}

/// An installed plugin; dropping it removes it.
struct Plugin {
    name: String,
    folder: PathBuf,
    removed: bool,
}

impl Plugin {
    fn install(reference: &str) -> Result<Self> {
        let alias = unique("plugin");
        let (name, folder) = (format!("{alias}:latest"), PathBuf::from("/run").join(&alias));
        let here = format!("/host/run/{alias}");
        let arguments = format!(
            "args=--driver-name={name} --control-socket={here}/control.sock \
             --vhost-user-dir={here}/vhost-user --collect-every=1 --log=debug,hyper=info,netlink=info"
        );
        let install = ["plugin", "install", "--grant-all-permissions", "--alias", &alias];
        let plugin = Self { name, folder, removed: false };
        docker(&[&install[..], &[reference, &arguments]].concat())?;
        Ok(plugin)
    }

    /// `docker plugin VERB`.
    fn tell(&self, verb: &[&str]) -> Result<String> {
        docker(&[&["plugin"], verb, &[self.name.as_str()]].concat())
    }

    fn inspect(&self) -> Result<Value> {
        let all: Value = serde_json::from_str(&self.tell(&["inspect"])?)?;
        Ok(all[0].clone())
    }

    /// Its folder in Docker's.
    fn home(&self) -> Result<PathBuf> {
        let root = docker(&["info", "--format", "{{.DockerRootDir}}"])?;
        let id = self.inspect()?["Id"].as_str().context("a plugin has an id")?.to_owned();
        Ok(Path::new(&root).join("plugins").join(id))
    }

    /// A list that its own command line shows, on the host.
    fn list(&self, what: &str) -> Result<Vec<Value>> {
        let mut command = Command::new(self.home()?.join("rootfs/usr/bin/dockervpp"));
        command.args(["show", what, "--json", "--control-socket"]);
        let shown = run(command.arg(self.folder.join("control.sock")))?;
        let shown: Value = serde_json::from_str(&shown)?;
        let list = shown.as_array().or_else(|| shown[what].as_array());
        Ok(list.with_context(|| format!("no list of {what}: {shown}"))?.clone())
    }

    /// The process of its agent.
    fn process(&self) -> Result<u32> {
        for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
            let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let named = format!("--driver-name={}\0", self.name);
            if line.windows(named.len()).any(|it| it == named.as_bytes()) {
                return Ok(pid);
            }
        }
        bail!("{} does not run", self.name)
    }

    /// Kills its agent, and waits until Docker has started another.
    fn crash(&self) -> Result<()> {
        let before = self.process()?;
        let pid = i32::try_from(before).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, Signal::KILL)?;
        wait::until_ok(SOON, "Docker starts it again", || {
            ensure!(self.process()? != before, "it is still there");
            self.list("networks")
        })?;
        let inspected = self.inspect()?;
        ensure!(inspected["Enabled"] == true, "{inspected}");
        Ok(())
    }

    fn remove(mut self) -> Result<()> {
        self.tell(&["disable"])?;
        self.tell(&["rm"])?;
        self.removed = true;
        Ok(())
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if !self.removed {
            if let Err(error) = self.tell(&["rm", "-f"]) {
                eprintln!("left behind: plugin {}: {error:#}", self.name);
            }
            // Nothing of a test that failed may stay.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// What an agent has on a host.
fn traces() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    found.extend(lines(run(Command::new("nft").args(["list", "tables"]))?));
    for family in ["iptables", "ip6tables"] {
        let rules = run(Command::new(family).args(["-w", "5", "-S"]))?;
        let own = lines(rules).into_iter().filter(|it| it.contains("dockervpp"));
        found.extend(own.map(|it| format!("{family} {it}")));
    }
    for folder in ["/sys/class/net", "/run/docker/plugins", "/var/lib/docker/plugins", "/run"] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        found.extend(entries.map(|it| it.path().display().to_string()));
    }
    Ok(found)
}

/// A network, and containers of every kind on it or its sibling.
struct Scene {
    world: World,
    tap: [Container; 2],
    sessions: [Container; 2],
    _servers: Vec<Process>,
    networks: [Network; 2],
}

impl Scene {
    fn set(driver: &str) -> Result<Self> {
        let world = World::create(31)?;
        let image = Image::examples()?;
        let pool = |n: u8| [format!("10.207.{n}.0/24"), format!("10.207.{n}.1")];
        let network = |n: u8, kind: &str| {
            let [subnet, gateway] = pool(n);
            Network::create(driver, &["--subnet", &subnet, "--gateway", &gateway, "-o", kind])
        };
        let networks = [network(1, "attach=auto")?, network(2, "attach=userspace")?];
        let on = |index: usize, flags: &[&str]| {
            let options = RunOptions::default().on(&networks[index]).flags(flags);
            Container::run(&image, &if index == 1 { options.shimmed()? } else { options })
        };
        let tap = [on(0, &["-p", "17101:7000"])?, on(0, &[])?];
        let sessions = [on(1, &["-p", "17102:7000"])?, on(1, &[])?];
        let mut servers = Vec::new();
        for container in [&tap[0], &sessions[0]] {
            let server = container.exec_start(&["netprobe", "echo", "7000"])?;
            let listens = |line: &str| (line == "listening").then_some(());
            server.line_after(0, SOON, "the server listens", listens)?;
            servers.push(server);
        }
        Ok(Self { world, tap, sessions, _servers: servers, networks })
    }

    /// Everybody reaches whom they should.
    fn works(&self) -> Result<()> {
        let [auto, userspace] = &self.networks;
        self.tap[1].pings(self.tap[0].address(auto)?, SOON)?;
        self.tap[1].pings(auto.gateway(0)?.parse()?, SOON)?;
        let neighbour = format!("{}:7000", self.sessions[0].address(userspace)?);
        wait::until_ok(SOON, "a session between two programs", || {
            self.sessions[1].exec_ok(&["netprobe", "ask", "stream", &neighbour, MIB])
        })?;
        let door = self.world.host()[0];
        for port in [17101, 17102] {
            let to = format!("{door}:{port}");
            wait::until_ok(SOON, "a published port is reached", || {
                let ask = ["ask", "stream", &to, MIB];
                run(&mut self.world.command(programs::netprobe()?.display(), &ask))
            })?;
        }
        self.tap[1].exec_ok(&["ping", "-c", "1", "-W", "5", &self.world.host()[0].to_string()])?;
        self.packets_are_answered_over_memif()
    }

    fn packets_are_answered_over_memif(&self) -> Result<()> {
        let (one, network) = (&self.tap[1], &self.networks[0]);
        let (address, mac) = (one.address(network)?, one.attached(network, "MacAddress")?);
        let endpoint = "connect:@dockervpp/memif";
        let line = ["ping_responder", endpoint, &address.to_string(), "--mac", &mac];
        let responder = wait::until_ok(SOON, "the packet program connects", || {
            let responder = one.exec_start(&line)?;
            self.tap[0].pings(address, Duration::from_secs(5))?;
            Ok(responder)
        });
        one.exec_ok(&["killall", "-9", "ping_responder"])?;
        responder.map(drop)
    }

    /// What goes on meanwhile, whatever becomes of the agent.
    fn pulses(&self) -> Result<[Pulse; 2]> {
        let [auto, userspace] = &self.networks;
        Ok([
            Pulse::start("sessions", self.sessions.each_ref(), userspace)?,
            Pulse::start("TAP", self.tap.each_ref(), auto)?,
        ])
    }

    fn end(self) -> Result<()> {
        let Self { tap, sessions, networks, .. } = self;
        tap.into_iter().chain(sessions).try_for_each(Container::remove)?;
        networks.into_iter().try_for_each(Network::remove)
    }
}

fn vhost_user_device(plugin: &Plugin) -> Result<()> {
    let pool = ["--subnet", "10.207.3.0/24", "--gateway", "10.207.3.1"];
    let network =
        Network::create(&plugin.name, &[&pool[..], &["-o", "attach=vhost-user"]].concat())?;
    let one = Container::idle(&Image::busybox()?, &network)?;
    let endpoint = one.attached(&network, "EndpointID")?;
    let endpoints = plugin.list("endpoints")?;
    let line = endpoints.iter().find(|it| it["id"] == endpoint.as_str());
    let line = line.with_context(|| format!("{endpoints:?}"))?;
    let socket = plugin.folder.join("vhost-user").join(&endpoint[..12]).join("socket");
    ensure!(line.to_string().contains(&socket.display().to_string()), "{line}");
    ensure!(socket.exists(), "{} is not there", socket.display());
    one.remove()?;
    network.remove()
}

#[test]
fn it_serves_every_kind_is_upgraded_under_containers_and_leaves_no_trace() -> Result<()> {
    if !need::met(&[Need::Root, Need::Docker, Need::Tun, Need::Busybox, Need::Registry]) {
        return Ok(());
    }
    let _turn = Turn::take()?;
    let registry = Registry::start()?;
    let folder = tempfile::tempdir()?;
    let made = folder.path().join("plugin");
    made::plugin(&made)?;
    let first = registry.take("one", &made)?;
    fs::write(made.join("rootfs/etc/dockervpp/release"), "two")?;
    let second = registry.take("two", &made)?;
    drop(folder);
    // What others have on this host comes and goes; ours is new now.
    let before = traces()?;

    let plugin = Plugin::install(&first)?;
    let home = plugin.home()?;
    let scene = Scene::set(&plugin.name)?;
    scene.works()?;
    vhost_user_device(&plugin)?;

    // Docker starts a plugin again whose process died.
    let pulses = scene.pulses()?;
    plugin.crash()?;
    for pulse in pulses {
        let what = pulse.what;
        let (bytes, longest) = pulse.end()?;
        println!("{what}: {bytes} bytes came back, the longest wait was {longest} ms");
        ensure!(bytes > 0, "{what}: nothing came back");
    }
    scene.works().context("after it was killed")?;

    // Docker does not disable a driver that networks use, unless it is told to.
    ensure!(plugin.tell(&["disable"]).is_err(), "a driver in use was disabled");
    plugin.tell(&["disable", "-f"])?;
    ensure!(!plugin.folder.join("control.sock").exists(), "the agent is still there");
    plugin.tell(&["enable"])?;
    scene.works().context("after it was disabled")?;

    plugin.tell(&["disable", "-f"])?;
    let upgrade = ["plugin", "upgrade", "--grant-all-permissions", "--skip-remote-check"];
    docker(&[&upgrade[..], &[&plugin.name, &second]].concat())?;
    let release = fs::read_to_string(home.join("rootfs/etc/dockervpp/release"))?;
    ensure!(release == "two", "it was not upgraded");
    plugin.tell(&["enable"])?;
    scene.works().context("after the upgrade")?;
    ensure!(plugin.list("networks")?.len() == 2 && plugin.list("endpoints")?.len() == 4);

    scene.end()?;
    ensure!(plugin.list("networks")?.is_empty(), "networks stayed in the agent");
    plugin.remove()?;
    wait::until_ok(SOON, "nothing is left", || {
        let now = traces()?;
        let left: Vec<_> = now
            .difference(&before)
            .filter(|it| !it.contains("/var/lib/docker/plugins/tmp"))
            .collect();
        ensure!(left.is_empty(), "left behind: {left:#?}");
        Ok(())
    })
}
