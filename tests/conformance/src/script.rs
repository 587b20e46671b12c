//! One side of a case: what it writes down, and how it meets the other side.
//!
//! The two sides talk through their standard streams, which whoever started them connects: never
//! through the sockets that are tried.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::sys::{self, Fd, libc};

/// Which of the two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs the first function of each case.
    One,
    /// Runs the second.
    Two,
}

/// The addresses of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

/// Which addresses a case uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// IPv4 addresses on IPv6 sockets.
    Mapped,
}

impl Family {
    /// For the names of cases.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
            Self::Mapped => "mapped",
        }
    }

    /// The domain of its sockets.
    pub const fn domain(self) -> i32 {
        match self {
            Self::V4 => libc::AF_INET,
            Self::V6 | Self::Mapped => libc::AF_INET6,
        }
    }
}

/// One side of a case.
#[derive(Debug)]
pub struct Script {
    /// Which side.
    pub role: Role,
    /// Which addresses.
    pub family: Family,
    own: Host,
    peer: Host,
    case: String,
    /// Ports by the names that records show instead.
    ports: BTreeMap<u16, String>,
    /// The other side went on before this one was done.
    behind: bool,
}

/// How the process of a case ends when the other side is already at the next one.
pub const STRAY: i32 = 5;

/// What the sides tell each other at the start of a case.
const CASE: &str = "case ";

/// What a line of the other side starts with.
const TELL: &str = "> ";
/// What a line for the record starts with.
const NOTE: &str = "| ";

/// Writes a whole line at once.
fn put(line: &str) {
    let line = format!("{line}\n");
    let mut left = line.as_bytes();
    while !left.is_empty() {
        match sys::write(1, left) {
            Ok(done) => left = &left[usize::try_from(done).unwrap_or(0)..],
            Err(libc::EINTR) => {}
            Err(_) => sys::quit(3),
        }
    }
}

/// Reads a line byte by byte, so that nothing of the next case is taken.
fn line() -> Option<String> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        match sys::read(0, &mut byte) {
            Ok(1) if byte[0] == b'\n' => return String::from_utf8(line).ok(),
            Ok(1) => line.push(byte[0]),
            Err(libc::EINTR) => {}
            _ => return None,
        }
    }
}

impl Script {
    /// A side at `own` whose other side is at `peer`.
    pub fn new(role: Role, own: Host, peer: Host) -> Self {
        let (family, case, ports) = (Family::V4, String::new(), BTreeMap::new());
        Self { role, family, own, peer, case, ports, behind: false }
    }

    /// What goes on with the record of `case` in another program.
    pub fn continued(case: &str) -> Self {
        let nowhere = Host { v4: Ipv4Addr::UNSPECIFIED, v6: Ipv6Addr::UNSPECIFIED };
        let mut script = Self::new(Role::One, nowhere, nowhere);
        case.clone_into(&mut script.case);
        script
    }

    /// Begins a case, together with the other side.
    pub fn begin(&mut self, case: &str, family: Family) {
        case.clone_into(&mut self.case);
        self.family = family;
        self.ports.clear();
        self.meet_at(case);
    }

    /// Ends the record, together with the other side.
    pub fn finish(&mut self) {
        self.meet_at("over");
        put(&format!("{NOTE}over"));
    }

    fn meet_at(&mut self, case: &str) {
        let word = format!("{CASE}{case}");
        self.tell(&word);
        // What an earlier case left unheard is nobody's business any more.
        while !self.behind && line().unwrap_or_else(|| sys::quit(4)) != word {}
        self.behind = false;
    }

    /// The process of the last case took the word with which the other side begins the next one.
    pub fn missed_the_end(&mut self) {
        self.behind = true;
    }

    /// What this side does, of what the two do.
    pub fn side<T>(&self, one: T, two: T) -> T {
        match self.role {
            Role::One => one,
            Role::Two => two,
        }
    }

    /// The name of the case.
    pub fn case(&self) -> &str {
        &self.case
    }

    /// Writes down what happened.
    pub fn note(&self, text: &str) {
        put(&format!("{NOTE}{}: {text}", self.case));
    }

    /// Tells the other side something.
    pub fn tell(&self, text: &str) {
        put(&format!("{TELL}{text}"));
    }

    /// Waits for what the other side tells.
    pub fn hear(&self) -> String {
        let heard = line().unwrap_or_else(|| sys::quit(4));
        if heard.starts_with(CASE) {
            self.note("the other side is done already");
            sys::quit(STRAY);
        }
        heard
    }

    /// Waits for the other side to be there too.
    pub fn meet(&self) {
        self.tell("here");
        let heard = self.hear();
        assert_eq!(heard, "here", "the sides are out of step");
    }

    /// The own address.
    pub fn own(&self) -> IpAddr {
        address(self.own, self.family)
    }

    /// The other side's address.
    pub fn peer(&self) -> IpAddr {
        address(self.peer, self.family)
    }

    /// Every address of this machine.
    pub fn any(&self) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 | Family::Mapped => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// Records show `port` by this name from now on.
    pub fn name_port(&mut self, port: u16, name: &str) {
        self.ports.insert(port, name.to_owned());
    }

    /// An address without what is accidental in it.
    pub fn show(&self, address: Option<SocketAddr>) -> String {
        let Some(address) = address else { return "no address".to_owned() };
        let (ip, canonical) = (address.ip(), address.ip().to_canonical());
        let owned = |host: Host| [IpAddr::from(host.v4), host.v6.into()].contains(&canonical);
        let host = if owned(self.own) {
            "own".to_owned()
        } else if owned(self.peer) {
            "peer".to_owned()
        } else {
            ip.to_string()
        };
        let mapped = if ip == canonical { "" } else { "mapped " };
        let port = match address.port() {
            0 => "0",
            port => self.ports.get(&port).map_or("some", String::as_str),
        };
        format!("{mapped}{host} port {port}")
    }

    /// A stream socket of the case's family.
    pub fn stream(&self, flags: i32) -> Fd {
        self.opened(libc::SOCK_STREAM | flags)
    }

    /// A datagram socket of the case's family.
    pub fn datagram(&self, flags: i32) -> Fd {
        self.opened(libc::SOCK_DGRAM | flags)
    }

    fn opened(&self, kind: i32) -> Fd {
        let fd = sys::socket(self.family.domain(), kind, 0).expect("sockets can be made");
        Fd::try_from(fd).expect("descriptors are small")
    }
}

fn address(host: Host, family: Family) -> IpAddr {
    match family {
        Family::V4 => host.v4.into(),
        Family::V6 => host.v6.into(),
        Family::Mapped => host.v4.to_ipv6_mapped().into(),
    }
}
