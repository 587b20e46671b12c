//! Calls that are written down, and the steps that many cases share.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::checked::{difference, pattern};
use crate::names;
use crate::script::{Role, Script};
use crate::sys::{self, Answer, Epoll, Fd, libc};

/// Longest wait for something that must come.
const SOON: Duration = Duration::from_secs(5);

/// What a call answered as a descriptor.
pub(crate) fn fd(answer: Answer) -> Fd {
    let number = answer.unwrap_or_else(|error| panic!("no descriptor: {}", names::error(error)));
    Fd::try_from(number).expect("descriptors are small")
}

/// What a call answered that is written down already, so that nobody need look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logged(pub(crate) Answer);

impl Logged {
    /// The descriptor that the call answered.
    pub(crate) fn fd(self) -> Fd {
        fd(self.0)
    }

    /// Whether it did what it should.
    pub(crate) fn is_ok(self) -> bool {
        self.0.is_ok()
    }
}

impl Script {
    /// Writes down a call and what it answered.
    pub(crate) fn log(&self, call: &str, answer: Answer) -> Logged {
        self.note(&format!("{call} = {}", names::answer(answer)));
        Logged(answer)
    }

    /// As [`Self::log`], for a call that answers a descriptor.
    pub(crate) fn log_fd(&self, call: &str, answer: Answer) -> Logged {
        self.note(&format!("{call} = {}", names::descriptor(answer)));
        Logged(answer)
    }

    pub(crate) fn send(&self, fd: Fd, bytes: &[u8], flags: i32) -> Logged {
        let call = format!("send {} {}", bytes.len(), names::message(flags));
        self.log(&call, sys::send(fd, bytes, flags))
    }

    pub(crate) fn write(&self, fd: Fd, bytes: &[u8]) -> Logged {
        self.log(&format!("write {}", bytes.len()), sys::write(fd, bytes))
    }

    pub(crate) fn recv(&self, fd: Fd, len: usize, flags: i32) -> Vec<u8> {
        let mut buffer = vec![0; len];
        let answer = sys::recv(fd, &mut buffer, flags);
        let call = format!("recv {len} {}", names::message(flags));
        self.received(&call, answer, buffer)
    }

    pub(crate) fn read(&self, fd: Fd, len: usize) -> Vec<u8> {
        let mut buffer = vec![0; len];
        let answer = sys::read(fd, &mut buffer);
        self.received(&format!("read {len}"), answer, buffer)
    }

    /// Writes down a call that filled `buffer`; what it filled in.
    pub(crate) fn received(&self, call: &str, answer: Answer, mut buffer: Vec<u8>) -> Vec<u8> {
        let got = answer.ok().and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
        buffer.truncate(got);
        let shown = if got > 0 { format!(" {}", names::bytes(&buffer)) } else { String::new() };
        self.note(&format!("{call} = {}{shown}", names::answer(answer)));
        buffer
    }

    pub(crate) fn shutdown(&self, fd: Fd, how: i32) -> Logged {
        let name = ["RD", "WR", "RDWR"].get(usize::try_from(how).unwrap_or(9)).unwrap_or(&"?");
        self.log(&format!("shutdown {name}"), sys::shutdown(fd, how))
    }

    pub(crate) fn close(&self, fd: Fd) -> Logged {
        self.log("close", sys::close(fd))
    }

    pub(crate) fn connect(&self, fd: Fd, to: SocketAddr) -> Logged {
        self.log("connect", sys::connect(fd, to))
    }

    pub(crate) fn bind(&self, fd: Fd, to: SocketAddr) -> Logged {
        self.log("bind", sys::bind(fd, to))
    }

    pub(crate) fn listen(&self, fd: Fd, backlog: i32) -> Logged {
        self.log("listen", sys::listen(fd, backlog))
    }

    pub(crate) fn accept4(&self, fd: Fd, flags: i32) -> Logged {
        self.log_fd("accept4", sys::accept4(fd, flags))
    }

    pub(crate) fn own_name(&self, fd: Fd) -> Option<SocketAddr> {
        let (answer, name, len) = sys::own_name(fd);
        self.note(&format!(
            "getsockname = {} {} length {len}",
            names::answer(answer),
            self.show(name)
        ));
        name
    }

    pub(crate) fn peer_name(&self, fd: Fd) -> Option<SocketAddr> {
        let (answer, name, len) = sys::peer_name(fd);
        let len = answer.map_or(0, |_| len);
        self.note(&format!(
            "getpeername = {} {} length {len}",
            names::answer(answer),
            self.show(name)
        ));
        name
    }

    /// `SO_ERROR`.
    pub(crate) fn error(&self, fd: Fd) {
        let (answer, _, [value, _]) = sys::get_option(fd, libc::SOL_SOCKET, libc::SO_ERROR);
        let value = answer.map_or_else(names::error, |_| names::error(value));
        self.note(&format!("SO_ERROR = {value}"));
    }

    /// `poll` of one descriptor.
    pub(crate) fn poll(&self, fd: Fd, events: i16, timeout_ms: i32) -> i16 {
        let (answer, revents) = sys::poll(&[(fd, events)], timeout_ms);
        let (asked, got) = (names::poll(events), names::poll(revents[0]));
        self.note(&format!("poll {asked} = {} {got}", names::answer(answer)));
        revents[0]
    }

    /// `epoll_wait`.
    pub(crate) fn epoll(&self, epoll: &Epoll, timeout_ms: i32) -> usize {
        let (answer, events) = epoll.wait(timeout_ms);
        let all: Vec<_> =
            events.iter().map(|it| format!(" {}:{}", it.key, names::epoll(it.bits))).collect();
        self.note(&format!("epoll_wait = {}{}", names::answer(answer), all.concat()));
        events.len()
    }

    /// `epoll_ctl`.
    pub(crate) fn control(&self, epoll: &Epoll, operation: i32, fd: Fd, bits: u32, key: u64) {
        let name = match operation {
            libc::EPOLL_CTL_ADD => "ADD",
            libc::EPOLL_CTL_MOD => "MOD",
            _ => "DEL",
        };
        let answer = epoll.control(operation, fd, bits, key);
        self.log(&format!("epoll_ctl {name} {}", names::epoll(bits)), answer);
    }

    /// Bytes that wait to be read.
    pub(crate) fn waiting(&self, fd: Fd) {
        let (answer, value) = sys::ioctl_int(fd, libc::FIONREAD, -1);
        self.note(&format!("FIONREAD = {} {value}", names::answer(answer)));
    }

    /// Waits, unrecorded, until at least `bytes` wait to be read.
    pub(crate) fn until_waiting(&self, fd: Fd, bytes: i32) {
        self.until("the bytes wait", || sys::ioctl_int(fd, libc::FIONREAD, 0).1 >= bytes);
    }

    /// Waits, unrecorded, until the kernel is done with what it reports in the middle of it: this asks for the lock
    /// that it holds.
    pub(crate) fn until_done(&self, fd: Fd) {
        self.until_waiting(fd, 0);
    }

    /// Waits, unrecorded, until `poll` reports one of `events`.
    pub(crate) fn until_events(&self, fd: Fd, events: i16) {
        self.until("the events come", || sys::poll(&[(fd, events)], 10).1[0] & events != 0);
    }

    /// Waits, unrecorded, until `poll` reports that a stream is over both ways, by resets as well as by ends, and
    /// reports all of it. Linux 6.18 lets `poll` see a reset in parts, which does not take the socket's lock: the
    /// error (`tcp_reset`), then the state, then the directions that are shut down (`tcp_done`).
    pub(crate) fn until_over(&self, fd: Fd) {
        const OVER: i16 = libc::POLLHUP | libc::POLLRDHUP;
        self.until("the stream is over", || sys::poll(&[(fd, OVER)], 10).1[0] & OVER == OVER);
    }

    /// Waits, unrecorded, for something that must come soon; notes when it did not.
    pub(crate) fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + SOON;
        while !done() {
            if Instant::now() >= deadline {
                self.note(&format!("not in time: {what}"));
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Has a thread make `call`, and does `then`, which is given its number, once it sleeps there; what the call
    /// answered.
    pub(crate) fn while_asleep<T: Send>(
        &self,
        call: impl FnOnce() -> T + Send,
        then: impl FnOnce(i32),
    ) -> T {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(move || {
                tell.send(sys::thread_id()).expect("somebody listens");
                call()
            });
            let thread = told.recv().expect("the thread runs");
            self.until("the thread sleeps", || sys::is_asleep(thread));
            then(thread);
            sleeper.join().expect("the thread returns")
        })
    }

    /// As [`Self::while_asleep`] for a program that has one thread and keeps it: another process does `then`, and is
    /// given the number of this one.
    pub(crate) fn while_alone_asleep<T>(
        &self,
        call: impl FnOnce() -> T,
        then: impl FnOnce(i32),
    ) -> T {
        let own = sys::thread_id();
        let Some(other) = sys::fork() else {
            self.until("the process sleeps", || sys::is_asleep(own));
            then(own);
            sys::quit(0);
        };
        let answer = call();
        sys::wait_for(other);
        answer
    }

    /// Sends all of `bytes`, unrecorded but for a failure.
    pub(crate) fn push(&self, fd: Fd, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            match sys::send(fd, &bytes[done..], 0) {
                Ok(more) => done += usize::try_from(more).unwrap_or(0),
                Err(libc::EINTR) => {}
                Err(libc::EAGAIN) => self.until_events(fd, libc::POLLOUT),
                Err(error) => {
                    self.note(&format!("sending failed: {}", names::error(error)));
                    return;
                }
            }
        }
    }

    /// Receives exactly `len` bytes, unrecorded but for an end or a failure before.
    pub(crate) fn pull(&self, fd: Fd, len: usize) -> Vec<u8> {
        let mut all = vec![0; len];
        let mut done = 0;
        while done < len {
            match sys::recv(fd, &mut all[done..], 0) {
                Ok(0) => {
                    self.note("receiving ended early");
                    break;
                }
                Ok(more) => done += usize::try_from(more).unwrap_or(0),
                Err(libc::EINTR) => {}
                Err(libc::EAGAIN) => self.until_events(fd, libc::POLLIN),
                Err(error) => {
                    self.note(&format!("receiving failed: {}", names::error(error)));
                    break;
                }
            }
        }
        all.truncate(done);
        all
    }

    /// A listening socket on every address, whose port the other side is told.
    pub(crate) fn listener(&mut self, backlog: i32) -> Fd {
        let fd = self.stream(0);
        sys::bind(fd, SocketAddr::new(self.any(), 0)).expect("a free port");
        sys::listen(fd, backlog).expect("it listens");
        self.announce(fd);
        fd
    }

    /// Tells the other side the port of a socket, which both call `listening` from now on.
    pub(crate) fn announce(&mut self, fd: Fd) {
        let port = sys::own_name(fd).1.expect("a bound socket has a name").port();
        self.name_port(port, "listening");
        self.tell(&port.to_string());
    }

    /// Where the other side listens.
    pub(crate) fn destination(&mut self) -> SocketAddr {
        let port = self.hear().parse().expect("a port");
        self.name_port(port, "listening");
        SocketAddr::new(self.peer(), port)
    }

    /// Accepts one connection on a listener of its own.
    pub fn accept_one(&mut self) -> Fd {
        let listener = self.listener(8);
        let accepted = fd(sys::accept4(listener, 0));
        sys::close(listener).expect("it is open");
        accepted
    }

    /// The other end of [`Self::accept_one`].
    pub fn connect_one(&mut self) -> Fd {
        let to = self.destination();
        let fd = self.stream(0);
        sys::connect(fd, to).unwrap_or_else(|error| {
            panic!("cannot connect: {}", names::error(error));
        });
        fd
    }

    /// An end of a connection, on either side.
    pub(crate) fn pair(&mut self) -> Fd {
        match self.role {
            Role::One => self.accept_one(),
            Role::Two => self.connect_one(),
        }
    }

    /// Sets `O_NONBLOCK`.
    pub(crate) fn nonblocking(&self, fd: Fd) {
        let flags = sys::fcntl(fd, libc::F_GETFL, 0).ok().and_then(|it| i32::try_from(it).ok());
        let flags = flags.expect("flags can be read");
        self.log("set O_NONBLOCK", sys::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK));
    }

    /// Sends the stream `seed` until there is no room; how much fitted is accidental.
    pub(crate) fn fill_up(&self, fd: Fd, seed: u64) -> usize {
        // The kernel lets a buffer grow whose size nobody set.
        let _ = sys::set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 100_000);
        let mut sent = 0;
        // What the peer's kernel takes shows only after a moment: full is full for longer than the kernel waits until
        // it sends less than a segment into a window, or a segment once more (200 ms and what the way takes).
        let mut full = 0;
        while full < 16 {
            let block = pattern(seed, sent as u64, 64 << 10);
            match sys::send(fd, &block, libc::MSG_DONTWAIT) {
                Ok(more) => {
                    sent += usize::try_from(more).unwrap_or(0);
                    full = 0;
                }
                Err(libc::EAGAIN) => {
                    full += 1;
                    sys::sleep_ms(25);
                }
                Err(error) => {
                    self.note(&format!("filling failed: {}", names::error(error)));
                    break;
                }
            }
        }
        sent
    }

    /// Takes what the other side filled in with [`Self::fill_up`].
    pub(crate) fn drain(&self, fd: Fd, seed: u64, sent: usize) {
        let got = self.pull(fd, sent);
        self.note(&format!("all that was sent: {}", got.len() == sent));
        self.note(&format!("first difference: {:?}", difference(seed, 0, &got)));
    }
}
