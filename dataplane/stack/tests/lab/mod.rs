//! Stacks with threads of their own on a real engine, and a network namespace behind a TAP.

#![allow(dead_code, reason = "each user takes a part of this")]

pub(crate) mod kernel_stream;
pub(crate) mod service;

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::stack_port::{StackPort, WaitFor};
use dataplane::tap::{TapDevice, TapOptions};
use dataplane::{
    Dataplane, DomainConfig, DomainId, MacAddr, PortConfig, PortCounters, PortId, WorkerConfig,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use stack::{Addressing, Config, Counters, Ipv4Config, Ipv6Config, Stack};

use self::service::Services;

/// How long something may take before a test fails; a passing test does not wait.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

pub(crate) fn ipv4(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, n)
}

pub(crate) fn ipv6(n: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, n.into())
}

pub(crate) fn both(n: u8) -> [IpAddr; 2] {
    [ipv4(n).into(), ipv6(n).into()]
}

pub(crate) struct Lab {
    pub(crate) engine: Dataplane,
    pub(crate) domain: DomainId,
    mtu: u16,
}

impl Lab {
    pub(crate) fn new(mtu: u16) -> Self {
        let engine = Dataplane::start(WorkerConfig::default()).expect("the engine starts");
        let mut config = DomainConfig::new("lab");
        config.mtu = mtu.into();
        let domain = engine.create_domain(config).expect("domain");
        Self { engine, domain, mtu }
    }

    /// A port for station `n`.
    pub(crate) fn port(&self, n: u8) -> PortId {
        let config = PortConfig::new(format!("station-{n}"), Some(mac(n)));
        self.engine.create_port(self.domain, config).expect("port")
    }

    /// Station `n` is a stack with a thread.
    pub(crate) fn host(&self, n: u8) -> Host {
        let port = self.port(n);
        let link = self.engine.attach_stack(port).expect("attaches");
        let addressing = Addressing {
            mac: mac(n),
            ipv4: Some(Ipv4Config { address: ipv4(n), prefix: 24, gateway: None }),
            ipv6: Some(Ipv6Config { address: ipv6(n), prefix: 64, gateway: None }),
            mtu: self.mtu,
        };
        Host::start(Config::new(addressing, 7 << 100 | u128::from(n)), link, port)
    }

    pub(crate) fn counters(&self, port: PortId) -> PortCounters {
        self.engine.port(port).expect("exists").counters
    }
}

/// Something for the stack's thread to do.
type Task = Box<dyn FnOnce(&mut Stack, &mut Services, Instant) + Send>;

/// A stack, its thread and the services that it offers.
pub(crate) struct Host {
    pub(crate) port: PortId,
    tasks: Sender<Task>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Counters>>,
}

impl Host {
    fn start(config: Config, link: StackPort, port: PortId) -> Self {
        let (tasks, inbox) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || serve(Stack::new(config, Instant::now()), link, &inbox, &stopped);
        let thread = std::thread::Builder::new().name("stack".to_owned()).spawn(run);
        Self { port, tasks, stop, thread: Some(thread.expect("a thread")) }
    }

    /// Runs `task` on the stack's thread and returns its result.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Stack, &mut Services, Instant) -> T + Send + 'static,
    ) -> T {
        let (sender, receiver) = channel();
        let task: Task = Box::new(move |stack, services, now| {
            sender.send(task(stack, services, now)).expect("somebody asked");
        });
        self.tasks.send(task).expect("the thread runs");
        receiver.recv_timeout(PATIENCE).expect("an answer")
    }

    /// Asks again until the answer is not `None`.
    pub(crate) fn wait_for<T: Send + 'static>(
        &self,
        what: &str,
        mut task: impl FnMut(&mut Stack, &mut Services) -> Option<T> + Send + Clone + 'static,
    ) -> T {
        let start = Instant::now();
        loop {
            let mut again = task.clone();
            if let Some(answer) = self.ask(move |stack, services, _| again(stack, services)) {
                return answer;
            }
            let _ = &mut task;
            assert!(start.elapsed() < PATIENCE, "{what}: it does not happen");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn stop(mut self) -> Counters {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("started").join().expect("no panic")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// How long the thread looks for work before it sleeps; and how long it sleeps at most, since tasks do
/// not wake it.
const SPIN: Duration = Duration::from_micros(10);
const NAP: Duration = Duration::from_millis(2);
const BURST: usize = 64;

fn serve(
    mut stack: Stack,
    mut link: StackPort,
    inbox: &Receiver<Task>,
    stop: &AtomicBool,
) -> Counters {
    let mut services = Services::default();
    let mut worked = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let mut busy = false;
        for _ in 0..BURST {
            let Some(frame) = link.receive() else { break };
            stack.receive(now, frame.bytes(), frame.offload, &mut link);
            link.recycle(frame);
            busy = true;
        }
        while let Ok(task) = inbox.try_recv() {
            task(&mut stack, &mut services, now);
            busy = true;
        }
        while let Some(event) = stack.next_event() {
            services.handle(&mut stack, &mut link, event, now);
            busy = true;
        }
        let next = stack.poll(now, &mut link);
        link.flush();
        if busy {
            worked = now;
        } else if now.duration_since(worked) > SPIN {
            let what = if next.wants_room { WaitFor::FramesAndRoom } else { WaitFor::Frames };
            let due = next.at.map_or(NAP, |at| at.saturating_duration_since(now));
            link.wait(what, Some(due.min(NAP))).expect("waits");
        }
    }
    stack.counters()
}

/// A network namespace with a TAP of the lab in it.
pub(crate) struct Namespace {
    name: String,
    pub(crate) port: PortId,
}

pub(crate) fn ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    status.expect("the tests need `ip` of iproute2").success()
}

impl Namespace {
    /// Station `n` of the lab is the kernel of a new namespace. `None`, and a word, without the rights.
    pub(crate) fn join(lab: &Lab, n: u8) -> Option<Self> {
        let (namespace, tap) = Self::apart(lab, n, lab.port(n))?;
        lab.engine.attach_tap(namespace.port, tap).expect("attaches");
        Some(namespace)
    }

    /// The kernel of a new namespace, whose interface looks like station `n` with this port; what it sends and
    /// receives goes through the TAP.
    pub(crate) fn apart(lab: &Lab, n: u8, port: PortId) -> Option<(Self, TapDevice)> {
        let may =
            rustix::process::geteuid().is_root() && std::path::Path::new("/dev/net/tun").exists();
        if !may {
            eprintln!("skipped: needs root and /dev/net/tun");
            return None;
        }
        let name = format!("stack-{}-{n}-{}", std::process::id(), unique());
        assert!(ip(&format!("netns add {name}")));
        let namespace = Self { name, port };
        let mtu = lab.mtu;
        let tap = namespace.run(move || {
            let tap = TapDevice::create("eth0", &TapOptions::default()).expect("a TAP");
            // No waiting for duplicates of an address that has just been made up.
            std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0").expect("IPv6");
            assert!(ip(&format!("link set eth0 address {} mtu {mtu} up", mac(n))));
            assert!(ip("link set lo up"));
            assert!(ip(&format!("address add {}/24 dev eth0", ipv4(n))));
            assert!(ip(&format!("address add {}/64 dev eth0 nodad", ipv6(n))));
            tap
        });
        Some((namespace, tap))
    }

    /// Runs `work` on a thread inside the namespace.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name)).expect("the namespace");
        std::thread::scope(|scope| {
            let inside = move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("enters");
                work()
            };
            scope.spawn(inside).join().expect("no panic")
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&format!("netns delete {}", self.name));
    }
}

fn unique() -> u32 {
    use std::sync::atomic::AtomicU32;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
