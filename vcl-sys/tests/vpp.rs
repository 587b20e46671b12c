//! Against a real VPP: skipped, by name, where there is none.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::need::{Need, offered};
use kit::process::Process;
use kit::vpp::{Files, Vpp};
use kit::vpp_link::Link;
use rustix::time::{ClockId, clock_gettime};
use vcl_sys::{
    App, AttachError, Attribute, Config, Epoll, ErrorKind, Events, Library, Protocol, Ready,
    Release, Session, Worker,
};

const PATIENCE: Duration = Duration::from_secs(20);

const ALL: Ready = Ready::READ.union(Ready::WRITE).union(Ready::PEER_ENDED).union(Ready::EDGE);

/// A VPP that is joined to the kernel, its address, and the kernel's.
fn vpp_and_kernel(test: u8) -> Result<(Vpp, Link, Ipv4Addr, Ipv4Addr)> {
    // Of the addresses that are there for benchmarks (RFC 2544), a network for each process and test.
    let process = u8::try_from(std::process::id() % 250)?;
    let at = |last| Ipv4Addr::new(198, 18, process, test * 64 + last);
    let (kernel, own) = (at(1), at(2));
    let vpp = Vpp::start(&[])?;
    let link = Link::join(&vpp, own, kernel, 26)?;
    Ok((vpp, link, own, kernel))
}

fn library() -> Library {
    Library::open(&Files::find().unwrap().library).unwrap()
}

fn example(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.parent().and_then(|it| it.parent()).unwrap().join("examples").join(name)
}

#[test]
fn the_library_says_of_itself_what_vpp_says() {
    if !offered(&[Need::Vpp, Need::Root]) {
        return;
    }
    let vpp = Vpp::start(&[]).unwrap();
    let shown = vpp.cli("show version").unwrap();
    let version = shown.split_whitespace().nth(1).unwrap();
    let library = library();
    library.check(Release::of_version(version).unwrap()).unwrap();
    let other = library.check(Release::new(21, 10)).unwrap_err().to_string();
    assert!(other.contains("21.10") && other.contains(&library.release().to_string()), "{other}");
    let all = vcl_sys::Symbols::OPTIONAL.len();
    assert!(all > 0, "{:?}", library.symbols());
}

#[test]
fn the_examples_speak_tcp_with_the_kernel() {
    if !offered(&[Need::Vpp, Need::Root]) {
        return;
    }
    let (vpp, _link, own, kernel) = vpp_and_kernel(0).unwrap();
    let library = vpp.files().library.to_str().unwrap().to_owned();
    let socket = vpp.app_socket();

    let mut command = Command::new(example("echo_server"));
    command.args([&socket, "0.0.0.0:7007", &library]);
    let server = Process::start("echo_server", &mut command).unwrap();
    let listening = |line: &str| line.starts_with("listening").then_some(());
    server.line_after(0, PATIENCE, "it listens", listening).unwrap();
    for round in 0..3 {
        exchange((own, 7007).into(), 200_000 + round).unwrap();
    }

    let listener = TcpListener::bind((kernel, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut copy = stream.try_clone().unwrap();
        std::io::copy(&mut stream, &mut copy).unwrap();
    });
    let mut command = Command::new(example("echo_client"));
    command.args([&socket, &address, "3000000", &library]);
    let mut client = Process::start("echo_client", &mut command).unwrap();
    let status = client.wait(PATIENCE).unwrap();
    assert!(status.success(), "{:?}", client.output());
    echo.join().unwrap();
}

/// Sends bytes to an echo server with the kernel's TCP, and has them back.
fn exchange(to: SocketAddr, len: usize) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let data: Vec<u8> = (0..len).map(|at| u8::try_from(at % 241).unwrap()).collect();
    let (mut sender, sent) = (stream.try_clone()?, data.clone());
    let sending = thread::spawn(move || sender.write_all(&sent));
    let mut back = vec![0; len];
    stream.read_exact(&mut back)?;
    sending.join().expect("it does not panic")?;
    ensure!(back == data, "other bytes came back");
    Ok(())
}

/// A worker with a set and room for events.
struct Loop {
    worker: Worker,
    epoll: Epoll,
    events: Events,
}

impl Loop {
    fn new(worker: Worker) -> Self {
        let epoll = worker.epoll().unwrap();
        Self { worker, epoll, events: Events::with_capacity(8) }
    }

    /// Waits until `done` says so.
    fn until<T>(&mut self, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
        loop {
            if let Some(value) = done() {
                return value;
            }
            let ready = self.epoll.wait(&mut self.events, Some(PATIENCE)).unwrap();
            assert!(ready > 0, "nothing happens: {what}");
        }
    }

    fn connected(&mut self, to: SocketAddr) -> Result<Session, vcl_sys::CallError> {
        let session = self.worker.session(Protocol::Tcp)?;
        session.connect(to)?;
        self.epoll.add(&session, 1, ALL)?;
        assert!(self.epoll.wait(&mut self.events, Some(PATIENCE)).unwrap() > 0, "no answer");
        match session.error()? {
            Some(error) => Err(error),
            None => Ok(session),
        }
    }
}

fn some(result: Result<usize, vcl_sys::CallError>) -> Option<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        other => Some(other.unwrap()),
    }
}

/// A process attaches once, so one test has it all.
#[test]
fn an_attached_process() {
    if !offered(&[Need::Vpp, Need::Root]) {
        return;
    }
    let (mut vpp, _link, own, kernel) = vpp_and_kernel(1).unwrap();
    let library = library();
    let nowhere = App::attach(&library, &Config::new("test", "/nowhere")).unwrap_err();
    assert!(matches!(nowhere, AttachError::Attach(_)), "{nowhere}");
    let config = Config::new("test", vpp.app_socket());
    let attach = || App::attach(&library, &config);
    let worker = attach().unwrap();
    assert!(matches!(attach(), Err(AttachError::Already)));
    let app = worker.app();
    let mut looped = Loop::new(worker);
    bytes_ends_and_resets(&mut looped, own, kernel);
    threads_have_workers(app, own);
    waiting_sleeps(&mut looped);

    assert!(!looped.worker.is_detached().unwrap());
    vpp.kill();
    let gone = kit::wait::until(PATIENCE, "the worker sees that VPP is gone", || {
        looped.epoll.poll(&mut looped.events).context("poll")?;
        Ok(looped.worker.is_detached()?.then_some(()))
    });
    gone.unwrap();
    drop(looped);
    assert!(matches!(attach(), Err(AttachError::Already)));
}

fn bytes_ends_and_resets(looped: &mut Loop, own: Ipv4Addr, kernel: Ipv4Addr) {
    // The kernel connects here.
    let listener = looped.worker.session(Protocol::Tcp).unwrap();
    listener.bind((Ipv4Addr::UNSPECIFIED, 7001).into()).unwrap();
    listener.listen().unwrap();
    assert_eq!(listener.protocol().unwrap(), Some(Protocol::Tcp));
    assert!(listener.accept().unwrap().is_none());
    looped.epoll.add(&listener, 0, Ready::READ).unwrap();
    let peer = thread::spawn(move || {
        let mut stream = TcpStream::connect((own, 7001)).unwrap();
        stream.write_all(b"from the kernel").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        (stream.local_addr().unwrap(), all)
    });
    let (session, from) = looped.until("a connection", || listener.accept().unwrap());
    looped.epoll.add(&session, 1, ALL).unwrap();
    let again = looped.epoll.add(&session, 1, ALL).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists);
    let mut received = Vec::new();
    looped.until("the peer's bytes and its end", || {
        let mut buffer = [0; 64];
        // Edge-triggered: until there is nothing more.
        while let Some(len) = some(session.read(&mut buffer)) {
            received.extend_from_slice(&buffer[..len]);
            if len == 0 {
                return Some(());
            }
        }
        None
    });
    assert_eq!(received, b"from the kernel");
    assert_eq!(session.peer_addr().unwrap(), from);
    assert_eq!(session.local_addr().unwrap(), (own, 7001).into());
    assert_eq!(session.write_and_flush(b"from VPP").unwrap(), 8);
    drop(session);
    let (local, all) = peer.join().unwrap();
    assert_eq!((local, all.as_str()), (from, "from VPP"));

    // Connecting: refused, and reset.
    let refused = looped.connected((kernel, 1).into()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
    let kernels = TcpListener::bind((kernel, 0)).unwrap();
    let session = looped.connected(kernels.local_addr().unwrap()).unwrap();
    let (mut stream, _) = kernels.accept().unwrap();
    assert!(session.attribute(Attribute::GetTxFifoLen).unwrap() > 0);
    assert!(session.attribute(Attribute::GetRxFifoLen).unwrap() > 0);
    session.set_attribute(Attribute::SetTcpNoDelay, 1).unwrap();
    assert_eq!(session.attribute(Attribute::GetTcpNoDelay).unwrap(), 1);
    assert!(session.attribute(Attribute::GetLocalAddr).is_err());
    assert!(session.writable().unwrap() > 0);
    session.terminate().unwrap();
    let error = stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// CPU time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}

fn threads_have_workers(app: App, own: Ipv4Addr) {
    let (told, ready) = mpsc::channel();
    let other = thread::spawn(move || {
        let worker = app.register().unwrap();
        assert!(app.register().is_err(), "a thread has one worker");
        assert_eq!(worker.index(), 1);
        let mut looped = Loop::new(worker);
        let listener = looped.worker.session(Protocol::Tcp).unwrap();
        listener.bind((Ipv4Addr::UNSPECIFIED, 7002).into()).unwrap();
        listener.listen().unwrap();
        looped.epoll.add(&listener, 0, Ready::READ | Ready::EDGE).unwrap();
        told.send(()).unwrap();
        let (session, _) = looped.until("a connection", || listener.accept().unwrap());
        looped.epoll.add(&session, 1, ALL).unwrap();
        let mut buffer = [0; 16];
        looped.until("bytes", || some(session.read(&mut buffer)));
        session.write(&buffer).unwrap();
        looped.until("the end", || some(session.read(&mut buffer)).filter(|len| *len == 0));
    });
    ready.recv().unwrap();
    let mut stream = TcpStream::connect((own, 7002)).unwrap();
    stream.write_all(&[7; 16]).unwrap();
    let mut back = [0; 16];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, [7; 16]);
    drop(stream);
    other.join().unwrap();
}

fn waiting_sleeps(looped: &mut Loop) {
    // Nothing happens, and nothing is done about it.
    let listener = looped.worker.session(Protocol::Tcp).unwrap();
    listener.bind((Ipv4Addr::UNSPECIFIED, 7003).into()).unwrap();
    listener.listen().unwrap();
    looped.epoll.add(&listener, 0, Ready::READ).unwrap();
    let (before, idle) = (cpu(), Duration::from_secs(2));
    assert_eq!(looped.epoll.wait(&mut looped.events, Some(idle)).unwrap(), 0);
    let used = cpu().saturating_sub(before);
    assert!(used < idle / 4, "waiting for {idle:?} used {used:?} of CPU");
}
