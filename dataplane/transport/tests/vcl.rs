//! A program with sessions, and the kernel's own TCP, with VPP's host stack between them: each test with a
//! VPP and a process of its own. Needs VPP and root, and says so when it is skipped.

mod exchange;
#[path = "../../stack/tests/lab/mod.rs"]
mod lab;
#[path = "../../session/tests/support/mod.rs"]
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use exchange::exchange;
use kit::need::{Need, offered};
use kit::vpp::Vpp;
use kit::vpp_link::Link;
use lab::kernel_stream::patient;
use rustix::event::PollFlags;
use session::Closed;
use session::broker::{Endpoint, Limits, NetworkKey};
use session::layout::RingSize;
use session::wire::{Refusal, Reply, Reuse, Transport};
use support::{
    End, Listening, PATIENCE, Program, World, eventually, finish_connect, receive, wait,
};
use transport::Host;
use transport::vcl::{self, Control, Status, VclAttach};
use vcl_sys::Library;

struct Site {
    program: Program,
    world: World,
    host: Host,
    control: Control,
    attach: VclAttach,
    own: Ipv4Addr,
    kernel: Ipv4Addr,
    link: Link,
    vpp: Vpp,
}

fn process() -> PathBuf {
    let here = std::env::current_exe().expect("this test");
    let folder = here.ancestors().nth(2).expect("target/debug");
    folder.join("examples/vcl_process")
}

/// A site, with a VPP whose half-closed connections live for as long as a test.
fn site(test: u8) -> Option<Site> {
    if !offered(&[Need::Vpp, Need::Root]) {
        return None;
    }
    let vpp = Vpp::start(&[]).expect("VPP starts");
    // Of the addresses that are there for benchmarks (RFC 2544), a network for each process and test.
    let of_process = u8::try_from(std::process::id() % 250).expect("small");
    let at = |last| Ipv4Addr::new(198, 19, of_process, test * 8 + last);
    let (kernel, own) = (at(1), at(2));
    let link = Link::join(&vpp, own, kernel, 29).expect("interfaces");
    let mut world = World::new();
    let program = world.endpoint_with(Endpoint {
        network: NetworkKey(1),
        ipv4: Some(own),
        ipv6: None,
        kernel: false,
        isolated: false,
        ring_size: RingSize::DEFAULT,
        limits: Limits::default(),
    });
    let library = Library::open(&vpp.files().library).expect("it is VPP's");
    let attach = VclAttach {
        socket: vpp.app_socket(),
        name: "test".to_owned(),
        release: library.release(),
        library: Some(vpp.files().library.clone()),
        fifo: VclAttach::FIFO,
    };
    let process = vcl::Program { path: process(), arguments: Vec::new() };
    let started = Host::start_vcl(program.key, process, world.service.handle());
    let (host, control) = started.expect("starts");
    control.attach(attach.clone());
    world.service.set_stack(program.key, host.network_stack());
    let site = Site { program, world, host, control, attach, own, kernel, link, vpp };
    site.is_attached();
    Some(site)
}

impl Site {
    /// Waits until the process works.
    fn is_attached(&self) {
        let probe = TcpListener::bind((self.kernel, 0)).expect("binds");
        let address = probe.local_addr().expect("bound");
        eventually("the process is attached", || self.connect(address).is_ok());
    }

    /// A session to the kernel.
    fn connect(&self, to: SocketAddr) -> Result<End, Reply> {
        let near = self.program.start_connect(None, to);
        assert_eq!(receive(&near).expect("an answer").reply, Reply::Pending);
        finish_connect(near)
    }

    fn kernel_listens(&self) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((self.kernel, 0)).expect("binds");
        let address = listener.local_addr().expect("bound");
        (listener, address)
    }

    /// A program's listener, to which the kernel can connect.
    fn program_listens(&self, port: u16, backlog: u32) -> Listening {
        let any = (Ipv4Addr::UNSPECIFIED, port).into();
        let (listening, reply) = self.program.listen_as(any, backlog, Reuse::default(), None, None);
        assert_eq!(reply, Reply::Listening);
        // The program is told when VPP listens: whom it tells where, finds it.
        let shown = self.vpp.cli("show session verbose").expect("VPP answers");
        assert!(shown.contains(&format!("0.0.0.0:{port}->")), "{shown}");
        listening
    }

    fn kernel_connects(&self, port: u16) -> std::io::Result<TcpStream> {
        TcpStream::connect_timeout(&(self.own, port).into(), PATIENCE)
    }

    /// CPU time that the processes which this one started have used, in ticks of the kernel.
    fn ticks(&self) -> u64 {
        let name = self.vpp.app_socket();
        let processes = std::fs::read_dir("/proc").expect("proc").flatten();
        let ours = processes.filter(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&name))
        });
        let stats =
            ours.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        stats
            .map(|stat| {
                let fields: Vec<_> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
                [12, 13].map(|at| fields[at].parse::<u64>().expect("a number")).iter().sum::<u64>()
            })
            .sum()
    }
}

#[test]
fn a_program_connects_to_the_kernel() {
    let Some(site) = site(0) else { return };
    let (listener, address) = site.kernel_listens();
    let end = site.connect(address).expect("connects");
    assert_eq!((end.info.transport, end.info.remote), (Transport::Stack, address));
    let (stream, from) = listener.accept().expect("accepts");
    assert_eq!(from, end.info.local);
    exchange(&end, &stream);
    drop(end);
    eventually("the session is forgotten", || site.world.service.sessions().is_empty());
}

#[test]
fn the_kernel_connects_to_a_program() {
    let Some(site) = site(1) else { return };
    let listening = site.program_listens(80, 16);
    for _ in 0..2 {
        let stream = site.kernel_connects(80).expect("connects");
        let end = listening.accept();
        assert_eq!(end.info.remote, stream.local_addr().expect("bound"));
        assert_eq!(end.info.local, (site.own, 80).into());
        exchange(&end, &stream);
    }
    // It speaks and goes before anybody has taken it.
    let mut stream = site.kernel_connects(80).expect("connects");
    stream.write_all(b"gone").expect("writes");
    drop(stream);
    let end = listening.accept();
    assert_eq!(end.read(4), b"gone");
    wait(&end.socket, PollFlags::RDHUP);
    drop((end, listening));
    eventually("the port is closed", || {
        site.kernel_connects(80).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

#[test]
fn refusals_reach_the_program() {
    let Some(site) = site(2) else { return };
    let closed = (site.kernel, 1).into();
    assert_eq!(site.connect(closed).err(), Some(Reply::Refused(Refusal::Refused)));
    // VPP waits for an answer from nowhere; the program does not.
    let nowhere = "203.0.113.1:1".parse().expect("an address");
    let near = site.program.start_connect(None, nowhere);
    assert_eq!(receive(&near).expect("an answer").reply, Reply::Pending);
    drop(near);
    eventually("the connect is forgotten", || site.world.service.sessions().is_empty());
}

#[test]
fn resets_and_ends_are_told_apart() {
    let Some(site) = site(3) else { return };
    let (listener, address) = site.kernel_listens();
    // The peer leaves bytes unread: a reset.
    let end = site.connect(address).expect("connects");
    let (stream, _) = listener.accept().expect("accepts");
    end.write_all(b"unread");
    eventually("the byte is there", || stream.peek(&mut [0]).is_ok());
    drop(stream);
    wait(&end.socket, PollFlags::HUP);
    assert_eq!(end.stream().peer_closed(), Some(Closed::Reset));
    drop(end);
    // The program read everything: an end, after all that was written.
    let end = site.connect(address).expect("connects");
    let (mut stream, _) = listener.accept().expect("accepts");
    patient(&stream, PATIENCE);
    end.write_all(b"last words");
    drop(end);
    let mut words = String::new();
    stream.read_to_string(&mut words).expect("an orderly end");
    assert_eq!(words, "last words");
    // It did not: a reset.
    let end = site.connect(address).expect("connects");
    let (mut stream, _) = listener.accept().expect("accepts");
    patient(&stream, PATIENCE);
    stream.write_all(b"not heard").expect("writes");
    eventually("bytes are there", || end.stream().readable().is_ok_and(|count| count > 0));
    drop(end);
    let error = stream.read(&mut [0; 16]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    eventually("the sessions are forgotten", || site.world.service.sessions().is_empty());
}

#[test]
fn a_full_backlog_holds_connections_until_there_is_room() {
    let Some(site) = site(4) else { return };
    let listening = site.program_listens(80, 2);
    std::thread::scope(|scope| {
        let site = &site;
        let connect = move || {
            let mut stream = site.kernel_connects(80).expect("connects");
            patient(&stream, PATIENCE);
            stream.write_all(b"x").expect("writes");
            stream.read_exact(&mut [0]).expect("an answer");
        };
        let clients: Vec<_> = (0..12).map(|_| scope.spawn(connect)).collect();
        for _ in 0..12 {
            std::thread::sleep(Duration::from_millis(20));
            let end = listening.accept();
            assert_eq!(end.read(1), b"x");
            end.write_all(b"y");
            // The program goes when the peer has read it and gone.
            wait(&end.socket, PollFlags::RDHUP);
        }
        for client in clients {
            client.join().expect("no panic");
        }
    });
}

#[test]
fn an_idle_process_uses_no_cpu_and_a_scribbler_loses_its_own_session_only() {
    let Some(site) = site(5) else { return };
    let (listener, address) = site.kernel_listens();
    let good = site.connect(address).expect("connects");
    let (good_stream, _) = listener.accept().expect("accepts");
    let bad = site.connect(address).expect("connects");
    let (mut bad_stream, _) = listener.accept().expect("accepts");
    patient(&bad_stream, PATIENCE);
    bad.scribble(u64::MAX / 2);
    bad.token_now();
    let error = bad_stream.read(&mut [0; 16]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    // Something that waits to be read, something that waits to be written: neither keeps it awake.
    (&good_stream).write_all(b"unread").expect("writes");
    let before = site.ticks();
    std::thread::sleep(Duration::from_secs(2));
    let used = site.ticks() - before;
    assert!(used < 50, "two seconds of waiting used {used} ticks of CPU");
    assert_eq!(good.read(6), b"unread");
    exchange(&good, &good_stream);
}

#[test]
fn the_process_comes_and_goes_as_it_is_told() {
    let Some(site) = site(7) else { return };
    let listening = site.program_listens(80, 16);
    assert_eq!(site.control.status(), Status::Attached);
    let out = site.kernel_listens();
    let end = site.connect(out.1).expect("connects");
    let (_stream, _) = out.0.accept().expect("accepts");
    let mut inward = site.kernel_connects(80).expect("connects");
    let taken = listening.accept();
    // Both ends see resets, and connects are refused.
    assert!(site.control.detach().wait(PATIENCE));
    assert_eq!(site.control.status(), Status::Idle);
    wait(&end.socket, PollFlags::HUP);
    assert_eq!(end.stream().peer_closed(), Some(Closed::Reset));
    wait(&taken.socket, PollFlags::HUP);
    patient(&inward, PATIENCE);
    let error = inward.read(&mut [0]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(site.connect(out.1).err(), Some(Reply::Refused(Refusal::Unreachable)));
    // What attaches again is told the listeners.
    site.control.attach(site.attach.clone());
    site.is_attached();
    eventually("VPP listens again", || {
        site.vpp.cli("show session verbose").expect("VPP answers").contains("0.0.0.0:80->")
    });
    let mut stream = site.kernel_connects(80).expect("connects");
    patient(&stream, PATIENCE);
    let served = listening.accept();
    // The same once more changes nothing; anew is another process.
    site.control.attach(site.attach.clone());
    served.write_all(b"still here");
    stream.read_exact(&mut [0; 10]).expect("the same connection");
    site.control.attach_anew(site.attach.clone());
    wait(&served.socket, PollFlags::HUP);
    site.is_attached();
}

#[test]
fn a_library_of_another_release_is_refused() {
    let Some(site) = site(8) else { return };
    let attach = VclAttach { release: vcl_sys::Release::new(25, 10), ..site.attach.clone() };
    site.control.attach(attach);
    eventually("it ended", || matches!(site.control.status(), Status::Ended(_)));
    assert_eq!(
        site.connect((site.kernel, 1).into()).err(),
        Some(Reply::Refused(Refusal::Unreachable))
    );
}

#[test]
fn the_end_of_the_process_ends_sessions_and_another_takes_over() {
    let Some(mut site) = site(6) else { return };
    let listening = site.program_listens(80, 16);
    let (listener, address) = site.kernel_listens();
    let end = site.connect(address).expect("connects");
    let (_stream, _) = listener.accept().expect("accepts");
    // VPP goes: the process sees it, and the session ends.
    site.vpp.kill();
    wait(&end.socket, PollFlags::HUP);
    assert_eq!(end.stream().peer_closed(), Some(Closed::Reset));
    eventually("connects are refused", || {
        site.connect(address).err() == Some(Reply::Refused(Refusal::Unreachable))
    });
    // VPP comes back, and with it the process and its listener.
    site.vpp.start_again().expect("VPP starts");
    site.link.join_again(&site.vpp).expect("the interface is VPP's again");
    site.is_attached();
    eventually("VPP listens again", || {
        site.vpp.cli("show session verbose").expect("VPP answers").contains("0.0.0.0:80->")
    });
    let stream = site.kernel_connects(80).expect("connects");
    exchange(&listening.accept(), &stream);
    // The agent lets go.
    let end = site.connect(address).expect("connects");
    let (mut stream, _) = listener.accept().expect("accepts");
    while stream.peer_addr().expect("connected") != end.info.local {
        stream = listener.accept().expect("accepts").0;
    }
    patient(&stream, PATIENCE);
    drop(site.host);
    wait(&end.socket, PollFlags::HUP);
    let error = stream.read(&mut [0; 16]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
