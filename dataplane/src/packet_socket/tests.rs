//! Packet sockets against the kernel's own stack, in network namespaces of their own. They need root and say so
//! when they are skipped.

#![allow(unsafe_code)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::*;
use crate::offload::{Checksum, SegmentationKind, VirtioNetHeader};
use crate::tap::{BUFFER_LEN, Outlet, TapWriter};

/// Runs `test` on a thread in a fresh network namespace.
fn in_fresh_netns(test: impl FnOnce() + Send) {
    let run = || {
        // SAFETY: only the network namespace of this thread changes; no descriptor table is split.
        let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        if unshared.is_err() || !ip("link add one type veth peer name other") {
            eprintln!("skipped: needs root, and a kernel with veth pairs");
            return;
        }
        // The kernel's own IPv6 chatter would mix with what the tests count. No file, no IPv6.
        for name in ["one", "other"] {
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        }
        test();
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap());
}

fn ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).stdout(Stdio::null()).status();
    status.expect("the tests need `ip` of iproute2").success()
}

/// Sets both links up, and waits until they carry frames: the kernel notices by and by that the other end is up
/// (`net/core/link_watch.c`), and drops what is sent before.
fn links_up() {
    assert!(ip("link set one up") && ip("link set other up"));
    let started = Instant::now();
    let is_up = |link: &str| {
        let shown = Command::new("ip").args(["-o", "link", "show", link]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).contains("state UP")
    };
    while !(is_up("one") && is_up("other")) {
        assert!(started.elapsed() < Duration::from_secs(20), "the links do not come up");
        thread::sleep(Duration::from_millis(1));
    }
}

fn index_of(link: &str) -> u32 {
    let name = std::ffi::CString::new(link).unwrap();
    // SAFETY: the name ends in zero.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

fn open(link: &str) -> PacketSocket {
    PacketSocket::open(link, index_of(link)).unwrap()
}

fn wait_readable(socket: &PacketSocket) {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_ne!(poll(&mut fds, Some(&timeout)).unwrap(), 0, "no frame arrived");
}

fn send(writer: &mut TapWriter<()>, socket: &PacketSocket, header: VirtioNetHeader, frame: &[u8]) {
    let mut room = writer.reserve(frame.len()).unwrap();
    room.frame().copy_from_slice(frame);
    room.push((), header, frame.len());
    for ((), outcome) in writer.flush(|()| Some(Outlet::Socket(socket.as_fd()))) {
        assert_eq!(outcome.unwrap(), VirtioNetHeader::SHORT_LEN + frame.len());
    }
}

fn frame(kind: [u8; 2], length: usize) -> Vec<u8> {
    let mut frame = [&[2, 0, 0, 0, 0, 9][..], &[2, 0, 0, 0, 0, 1], &kind].concat();
    frame.extend((0..=255).cycle().take(length - frame.len()));
    frame
}

/// What arrives next at a socket.
fn receive(reader: &mut PacketReader, socket: &PacketSocket) -> Vec<(VirtioNetHeader, Vec<u8>)> {
    wait_readable(socket);
    let burst = reader.read_burst(socket).unwrap();
    burst.map(|(header, frame)| (header.unwrap(), frame.to_vec())).collect()
}

#[test]
fn frames_arrive_as_sent_and_own_ones_are_not_seen() {
    for mut writer in [TapWriter::new(8, BUFFER_LEN), TapWriter::with_syscalls(8, BUFFER_LEN)] {
        in_fresh_netns(|| {
            let (one, other) = (open("one"), open("other"));
            links_up();
            let mut reader = PacketReader::new(BUFFER_LEN);
            let frames = [60, 61, 1514].map(|length| frame([0x88, 0xb5], length));
            for it in &frames {
                send(&mut writer, &one, VirtioNetHeader::PLAIN, it);
            }
            let mut got = Vec::new();
            while got.len() < frames.len() {
                got.extend(receive(&mut reader, &other).into_iter().map(|(_, frame)| frame));
            }
            assert_eq!(got, frames);
            let mut own = reader.read_burst(&one).unwrap();
            assert!(own.is_drained() && own.next().is_none(), "it sees what it sent");
            assert_eq!((one.take_lost(), other.take_lost()), (0, 0));
        });
    }
}

/// The kernel takes the tag of every frame that it receives; the agent sees it all the same.
#[test]
fn tags_stay_in_frames() {
    in_fresh_netns(|| {
        let (one, other) = (open("one"), open("other"));
        links_up();
        let mut writer = TapWriter::new(8, BUFFER_LEN);
        let tagged = [&frame([0x81, 0], 14)[..], &[0x20, 5, 0x88, 0xb5], &[7; 60]].concat();
        send(&mut writer, &one, VirtioNetHeader::PLAIN, &tagged);
        let got = receive(&mut PacketReader::new(BUFFER_LEN), &other);
        assert_eq!(got, [(VirtioNetHeader::PLAIN, tagged)]);
    });
}

#[test]
fn what_finds_no_room_is_counted_once() {
    in_fresh_netns(|| {
        let (one, other) = (open("one"), open("other"));
        links_up();
        let mut writer = TapWriter::new(64, 64 * 2048);
        let (big, mut sent) = (frame([0x88, 0xb5], 1514), 0_u64);
        let mut lost = 0;
        while lost == 0 {
            for _ in 0..64 {
                send(&mut writer, &one, VirtioNetHeader::PLAIN, &big);
            }
            sent += 64;
            assert!(sent < 1 << 20, "nothing is ever lost");
            // The kernel's own queue between the links loses what is too much for it, and counts it elsewhere.
            thread::sleep(Duration::from_micros(100));
            lost = other.take_lost();
        }
        let mut reader = PacketReader::new(BUFFER_LEN);
        let mut received = 0;
        let started = Instant::now();
        // Some may be on the way still.
        while received + lost < sent {
            received += reader.read_burst(&other).unwrap().count() as u64;
            lost += other.take_lost();
            let in_time = started.elapsed() < Duration::from_secs(20);
            assert!(in_time, "{received} received and {lost} lost of {sent}");
        }
        assert_eq!(received + lost, sent);
    });
}

#[test]
fn a_link_that_goes_down_or_away_is_no_endless_work() {
    in_fresh_netns(|| {
        let other = open("other");
        let mut reader = PacketReader::new(BUFFER_LEN);
        links_up();
        for change in ["link set other down", "link set other up", "link delete one"] {
            assert!(ip(change));
            // At most one error that was not read yet.
            let quiet = (0..3).any(|_| reader.read_burst(&other).unwrap().is_drained());
            assert!(quiet, "after {change}");
        }
    });
}

#[test]
fn a_link_that_is_not_there_is_an_error() {
    in_fresh_netns(|| {
        let error = PacketSocket::open("none", 4711).unwrap_err();
        assert!(error.to_string().contains("`none`"), "{error}");
        assert!(limit_offloads("none").is_err());
        assert!(limit_offloads("a-name-that-is-too-long").is_err());
    });
}

/// TCP of two kernels through two sockets: segments stay large, and nothing is lost.
#[test]
fn unsegmented_tcp_passes_between_two_pairs() {
    in_fresh_netns(|| {
        const BYTES: usize = 16 << 20;
        let byte_at = |at: usize| ((at * 31) >> 4).to_le_bytes()[0];
        assert!(ip("link add two type veth peer name another"));
        limit_offloads("one").unwrap();
        limit_offloads("two").unwrap();
        let sockets = [open("other"), open("another")];
        let (here, there) = (Ends::enter("one", 1, 2), Ends::enter("two", 2, 1));
        assert!(ip("link set other up") && ip("link set another up"));
        thread::scope(|scope| {
            // Borrowed: the ends stay until the last frame has passed.
            let receiver = scope.spawn(|| {
                there.run(|| {
                    let listener = TcpListener::bind("10.0.0.2:7000").unwrap();
                    let mut received = Vec::new();
                    listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
                    received
                })
            });
            let sender = scope.spawn(|| {
                here.run(|| {
                    let data: Vec<u8> = (0..BYTES).map(byte_at).collect();
                    let started = Instant::now();
                    let mut stream = loop {
                        match TcpStream::connect("10.0.0.2:7000") {
                            Ok(stream) => break stream,
                            Err(error) => {
                                assert!(started.elapsed() < Duration::from_secs(20), "{error}");
                            }
                        }
                    };
                    stream.write_all(&data).unwrap();
                });
            });
            let largest = pass_until(&sockets, || receiver.is_finished());
            sender.join().unwrap();
            let received = receiver.join().unwrap();
            assert_eq!(received.len(), BYTES);
            assert!(received.iter().enumerate().all(|(at, byte)| *byte == byte_at(at)));
            assert!(largest > 1514, "the kernel left no segmentation to us");
        });
    });
}

/// Passes frames between two sockets as they are; returns the length of the largest.
fn pass_until(sockets: &[PacketSocket; 2], is_done: impl Fn() -> bool) -> usize {
    let mut reader = PacketReader::new(BUFFER_LEN);
    let mut writer = TapWriter::new(64, 64 * BUFFER_LEN);
    let mut largest = 0;
    let started = Instant::now();
    while !is_done() {
        assert!(started.elapsed() < Duration::from_mins(1), "the transfer does not end");
        let mut fds = [0, 1].map(|at| PollFd::new(&sockets[at], PollFlags::IN));
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 })).unwrap();
        for (from, to) in [(0, 1), (1, 0)] {
            for (header, frame) in reader.read_burst(&sockets[from]).unwrap() {
                let header = header.unwrap();
                if let Some(gso) = header.segmentation {
                    assert_eq!(gso.kind, SegmentationKind::Tcp4);
                    assert!(matches!(header.checksum, Checksum::Partial { .. }));
                    largest = largest.max(frame.len());
                }
                let mut room = writer.reserve(frame.len()).unwrap();
                room.frame().copy_from_slice(frame);
                room.push(to, header, frame.len());
            }
            for (_, outcome) in writer.flush(|to| Some(Outlet::Socket(sockets[to].as_fd()))) {
                outcome.unwrap();
            }
        }
        assert_eq!(sockets.each_ref().map(PacketSocket::take_lost), [0, 0]);
    }
    largest
}

/// A namespace that has an end of a pair.
struct Ends(std::fs::File);

impl Ends {
    /// Moves a link into a namespace of its own, with the address 10.0.0.`host`.
    fn enter(link: &str, host: u8, peer: u8) -> Self {
        let (hand_over, namespace) = std::sync::mpsc::channel();
        let (keep, wait) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            // SAFETY: only the network namespace of this thread changes.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            let own = format!("/proc/self/task/{}/ns/net", rustix::thread::gettid().as_raw_pid());
            hand_over.send((rustix::thread::gettid(), std::fs::File::open(own).unwrap())).unwrap();
            let _ = wait.recv();
        });
        let (id, file) = namespace.recv().unwrap();
        assert!(ip(&format!("link set {link} netns {}", id.as_raw_pid())));
        drop(keep);
        thread.join().unwrap();
        let ends = Self(file);
        ends.run(|| {
            assert!(ip(&format!("link set {link} address 02:00:00:00:00:0{host} up")));
            assert!(ip(&format!("address add 10.0.0.{host}/24 dev {link}")));
            assert!(ip(&format!(
                "neighbour add 10.0.0.{peer} lladdr 02:00:00:00:00:0{peer} dev {link} nud permanent"
            )));
        });
        ends
    }

    /// Runs `job` in it, on a thread of its own.
    fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let visit = || {
                let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(self.0.as_fd(), kind).unwrap();
                job()
            };
            scope.spawn(visit).join().unwrap()
        })
    }
}

/// Offloads that the header cannot say are not used by who sends.
#[test]
fn datagrams_come_unsegmented_or_as_the_header_says() {
    in_fresh_netns(|| {
        limit_offloads("one").unwrap();
        let other = open("other");
        assert!(ip("link set one address 02:00:00:00:00:01 up") && ip("link set other up"));
        assert!(ip("address add 10.0.0.1/24 dev one"));
        assert!(ip("neighbour add 10.0.0.9 lladdr 02:00:00:00:00:09 dev one nud permanent"));
        let socket = UdpSocket::bind("10.0.0.1:5000").unwrap();
        socket.send_to(&[7; 1000], ("10.0.0.9", 6000)).unwrap();
        let mut reader = PacketReader::new(BUFFER_LEN);
        let is_udp = |frame: &[u8]| frame.len() >= 42 && frame[12..14] == [8, 0] && frame[23] == 17;
        let (header, datagram) = loop {
            let got = receive(&mut reader, &other);
            if let Some(found) = got.into_iter().find(|(_, frame)| is_udp(frame)) {
                break found;
            }
        };
        assert_eq!(header.checksum, Checksum::Partial { start: 34, offset: 6 });
        assert_eq!(datagram.len(), 42 + 1000);
    });
}
