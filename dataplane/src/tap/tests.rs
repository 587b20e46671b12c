//! TAPs against the kernel's own stack, in network namespaces of their own. They need root and
//! /dev/net/tun and say so when they are skipped.

#![allow(unsafe_code)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::*;
use crate::offload::{Checksum, SegmentationKind, Segmenter, complete_checksum};

/// Runs `test` on a thread in a fresh network namespace.
fn in_fresh_netns<R: Send>(test: impl FnOnce() -> R + Send) -> Option<R> {
    let run = || {
        // SAFETY: only the network namespace of this thread changes; no descriptor table is split.
        let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNET) };
        if unshared.is_err() || !std::path::Path::new("/dev/net/tun").exists() {
            eprintln!("skipped: needs root and /dev/net/tun");
            return None;
        }
        // The kernel's own IPv6 chatter would mix with what the tests count. No file, no IPv6.
        let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        Some(test())
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

fn ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).stdout(Stdio::null()).status();
    status.expect("the tests need `ip` of iproute2").success()
}

/// A TAP with address 10.0.0.`host`, up, and 10.0.0.9 reachable behind it.
fn configured_tap(host: u8, options: TapOptions) -> TapDevice {
    let tap = TapDevice::create("tap0", &options).unwrap();
    assert!(ip(&format!("link set tap0 address 02:00:00:00:00:0{host} up")));
    assert!(ip(&format!("address add 10.0.0.{host}/24 dev tap0")));
    assert!(ip("neighbour add 10.0.0.9 lladdr 02:00:00:00:00:09 dev tap0 nud permanent"));
    tap
}

fn wait_readable(queues: &[impl AsFd]) {
    let mut fds: Vec<_> = queues.iter().map(|queue| PollFd::new(queue, PollFlags::IN)).collect();
    let timeout = Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_ne!(poll(&mut fds, Some(&timeout)).unwrap(), 0, "no frame arrived");
}

fn is_udp(frame: &[u8]) -> bool {
    frame.len() >= 42 && frame[12..14] == [8, 0] && frame[23] == 17
}

/// Turns a UDP frame back to its sender. Sums over swapped fields stay the same, so the checksums
/// need no repair, the partial one included.
fn turn_back(frame: &mut [u8]) {
    for (left, right, len) in [(0, 6, 6), (26, 30, 4), (34, 36, 2)] {
        for at in 0..len {
            frame.swap(left + at, right + at);
        }
    }
}

/// Echoes `count` datagrams of a kernel socket through reader and writer.
fn echo_datagrams(mut reader: TapReader, mut writer: TapWriter<usize>, queues: u16) {
    const COUNT: u32 = 300;
    let tap = configured_tap(1, TapOptions { queues, persist: false });
    let socket = UdpSocket::bind("10.0.0.1:5000").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for number in 0..COUNT {
        let mut payload = vec![7; 20 + number as usize];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        socket.send_to(&payload, ("10.0.0.9", 6000)).unwrap();
    }
    let (mut echoed, mut received) = (0, 0);
    while echoed < COUNT {
        wait_readable(tap.queues());
        for (index, queue) in tap.queues().iter().enumerate() {
            let burst = reader.read_burst(queue.as_fd(), 16).unwrap();
            for (header, frame) in burst.filter(|(_, frame)| is_udp(frame)) {
                let header = header.unwrap();
                assert_eq!(header.checksum, Checksum::Partial { start: 34, offset: 6 });
                assert_eq!(header.segmentation, None);
                turn_back(frame);
                let mut room = writer.reserve(frame.len()).unwrap();
                room.frame().copy_from_slice(frame);
                room.push(index, header, frame.len());
                echoed += 1;
            }
            let taps = tap.queues();
            for (token, outcome) in writer.flush(|token| Some(taps[token].as_fd().into())) {
                assert_eq!(token, index);
                assert!(outcome.unwrap() > HEADER_LEN + 42);
            }
            assert!(writer.is_empty());
        }
        // One flow stays on one queue; take the echoes while the socket has room for them.
        receive_in_order(&socket, received..echoed);
        received = echoed;
    }
    let mut buffer = [0; 2000];
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut buffer).is_err(), "an echo came twice");
}

fn receive_in_order(socket: &UdpSocket, numbers: Range<u32>) {
    let mut buffer = [0; 2000];
    for number in numbers {
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(u32::from_be_bytes(buffer[..4].try_into().unwrap()), number);
        assert_eq!(length, 20 + number as usize);
    }
}

#[test]
fn frames_pass_in_order_through_io_uring() {
    in_fresh_netns(|| {
        let reader = TapReader::new(64, BUFFER_LEN);
        let writer = TapWriter::new(64, 4 * BUFFER_LEN);
        if let Some(reason) = reader.fallback_reason() {
            eprintln!("skipped: no io_uring here: {reason}");
            return;
        }
        assert_eq!((reader.mode(), writer.mode()), (IoMode::IoUring, IoMode::IoUring));
        echo_datagrams(reader, writer, 1);
    });
}

#[test]
fn frames_pass_in_order_through_system_calls() {
    in_fresh_netns(|| {
        let reader = TapReader::with_syscalls(64, BUFFER_LEN);
        let writer = TapWriter::with_syscalls(64, 4 * BUFFER_LEN);
        assert_eq!((reader.mode(), writer.mode()), (IoMode::Syscall, IoMode::Syscall));
        echo_datagrams(reader, writer, 1);
    });
}

#[test]
fn a_tap_with_several_queues() {
    in_fresh_netns(|| {
        echo_datagrams(TapReader::new(64, BUFFER_LEN), TapWriter::new(64, 4 * BUFFER_LEN), 4);
    });
}

#[test]
fn a_burst_keeps_to_its_limit_and_says_when_the_queue_is_empty() {
    for make in [TapReader::new, TapReader::with_syscalls] {
        in_fresh_netns(|| {
            let mut reader = make(8, BUFFER_LEN);
            let tap = configured_tap(1, TapOptions::default());
            let queue = tap.queues()[0].as_fd();
            let socket = UdpSocket::bind("10.0.0.1:5000").unwrap();
            for _ in 0..13 {
                socket.send_to(&[0; 20], ("10.0.0.9", 6000)).unwrap();
            }
            assert_eq!(reader.read_burst(queue, 0).unwrap().count(), 0);
            assert_eq!(reader.read_burst(queue, 3).unwrap().count(), 3);
            let burst = reader.read_burst(queue, 100).unwrap();
            assert!(!burst.is_drained());
            assert_eq!(burst.count(), 8, "the reader holds eight frames");
            let burst = reader.read_burst(queue, 100).unwrap();
            assert!(burst.is_drained());
            assert_eq!(burst.count(), 2);
        });
    }
}

#[test]
fn a_device_that_is_gone_is_an_error() {
    for make in [TapReader::new, TapReader::with_syscalls] {
        in_fresh_netns(|| {
            let mut reader = make(8, BUFFER_LEN);
            let tap = configured_tap(1, TapOptions::default());
            let mut writer = TapWriter::new(8, BUFFER_LEN);
            assert!(ip("link delete tap0"));
            let queue = tap.queues()[0].as_fd();
            let error = reader.read_burst(queue, 8).unwrap_err();
            assert_eq!(rustix::io::Errno::from_io_error(&error), Some(rustix::io::Errno::BADFD));
            for token in [0, 1] {
                writer.reserve(60).unwrap().push(token, VirtioNetHeader::PLAIN, 60);
            }
            let outcomes: Vec<_> =
                writer.flush(|token| (token == 0).then_some(queue.into())).collect();
            let gone = WriteError::Device(rustix::io::Errno::BADFD);
            assert_eq!(outcomes, [(0, Err(gone)), (1, Err(WriteError::NoDevice))]);
        });
    }
}

#[test]
fn a_writer_holds_what_it_was_made_for() {
    const MOST: usize = 200 - HEADER_LEN;
    let mut writer = TapWriter::with_syscalls(3, 200);
    assert!(!writer.repeat(0), "there is no frame to repeat");
    assert!(writer.reserve(MOST + 1).is_none());
    assert!(writer.reserve(usize::MAX).is_none());
    assert_eq!(writer.reserve(MOST).unwrap().frame().len(), MOST);
    writer.reserve(MOST).unwrap().push(0, VirtioNetHeader::PLAIN, 20);
    assert!(writer.reserve(MOST).is_none());
    writer.reserve(20).unwrap().push(1, VirtioNetHeader::PLAIN, 20);
    assert!(writer.repeat(2));
    assert!(!writer.repeat(3));
    assert!(writer.reserve(1).is_none());
    assert_eq!(writer.flush(|_| None).map(|(token, _)| token).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(writer.reserve(MOST).is_some());
}

#[test]
fn a_frame_is_repeated_to_several_devices() {
    in_fresh_netns(|| {
        let mut writer = TapWriter::new(8, BUFFER_LEN);
        let taps: Vec<_> = (0..3)
            .map(|n| {
                let name = format!("tap{n}");
                let tap = TapDevice::create(&name, &TapOptions::default()).unwrap();
                assert!(ip(&format!("link set {name} up")));
                tap
            })
            .collect();
        let mut room = writer.reserve(60).unwrap();
        room.frame().fill(0xff);
        room.push(0, VirtioNetHeader::PLAIN, 60);
        assert!(writer.repeat(1) && writer.repeat(2));
        let outcomes = writer.flush(|token| Some(taps[token].queues()[0].as_fd().into()));
        assert_eq!(outcomes.collect::<Vec<_>>(), [0, 1, 2].map(|n| (n, Ok(HEADER_LEN + 60))));
        for tap in &taps {
            let output = Command::new("ip").args(["-s", "link", "show", tap.name()]).output();
            let text = String::from_utf8(output.unwrap().stdout).unwrap();
            let rx = text.lines().skip_while(|line| !line.contains("RX:")).nth(1).unwrap();
            let mut numbers = rx.split_whitespace();
            assert_eq!((numbers.next(), numbers.next()), (Some("60"), Some("1")));
        }
    });
}

#[test]
fn a_persistent_device_outlives_its_descriptors() {
    in_fresh_netns(|| {
        let options = TapOptions { queues: 2, persist: true };
        drop(TapDevice::create("tap7", &options).unwrap());
        assert!(ip("link show tap7"));
        let again = TapDevice::create("tap7", &options).unwrap();
        assert_eq!((again.name(), again.queues().len()), ("tap7", 2));
        again.set_persist(false).unwrap();
        let queues = again.into_queues();
        assert!(ip("link show tap7"));
        drop(queues);
        // A process that another test just forked holds the descriptors until its exec.
        let started = Instant::now();
        while ip("link show tap7") {
            assert!(started.elapsed() < Duration::from_secs(20), "the device stays");
        }
    });
}

#[test]
fn names_and_numbers_that_cannot_be() {
    let create = |name: &str| TapDevice::create(name, &TapOptions::default()).unwrap_err();
    for name in ["", ".", "..", "a/b", "tap%d", "a b", "eth0:1", "sixteen-letters-"] {
        assert!(matches!(create(name), TapError::BadName(_)), "{name}");
    }
    for queues in [0, 257] {
        let options = TapOptions { queues, persist: false };
        let error = TapDevice::create("tap0", &options).unwrap_err();
        assert!(matches!(error, TapError::BadQueues(_)));
    }
    in_fresh_netns(|| {
        assert!(matches!(create("lo"), TapError::NameInUse { .. }));
    });
}

/// One end of the TCP test: hands its TAP over and runs `traffic` in its own namespace.
fn tcp_end<R: Send + 'static>(
    host: u8,
    traffic: impl FnOnce() -> R + Send + 'static,
) -> (mpsc::Receiver<TapDevice>, thread::JoinHandle<Option<R>>) {
    let (hand_over, tap) = mpsc::channel();
    let run = move || {
        hand_over.send(configured_tap(host, TapOptions::default())).unwrap();
        traffic()
    };
    (tap, thread::spawn(move || in_fresh_netns(run)))
}

/// Queues one frame for the other TAP, as it is.
fn pass_on(writer: &mut TapWriter<usize>, to: usize, header: VirtioNetHeader, frame: &[u8]) {
    let mut room = writer.reserve(frame.len()).unwrap();
    room.frame().copy_from_slice(frame);
    room.push(to, header, frame.len());
}

/// Queues one frame for the other TAP, with all that the kernel left to us done in software.
fn pass_on_plain(writer: &mut TapWriter<usize>, to: usize, header: VirtioNetHeader, frame: &[u8]) {
    if header.segmentation.is_some() {
        let mut segmenter = Segmenter::new(frame, header, 1500).unwrap();
        while let Some(segment) = segmenter.next_segment() {
            let mut room = writer.reserve(segment.len()).unwrap();
            let length = segment.write_to(room.frame()).unwrap();
            room.push(to, VirtioNetHeader::PLAIN, length);
        }
        return;
    }
    let mut frame = frame.to_vec();
    if let Checksum::Partial { start, offset } = header.checksum {
        complete_checksum(&mut frame, start, offset).unwrap();
    }
    pass_on(writer, to, VirtioNetHeader::PLAIN, &frame);
}

/// Sends 16 MiB through TCP from one namespace to another, over two TAPs joined by `pass`.
fn tcp_between_taps(pass: impl Fn(&mut TapWriter<usize>, usize, VirtioNetHeader, &[u8])) {
    const BYTES: usize = 16 << 20;
    let byte_at = |at: usize| ((at * 31) >> 4).to_le_bytes()[0];
    let (ready_sender, ready) = mpsc::channel();
    let (first, receiver) = tcp_end(2, move || {
        let listener = TcpListener::bind("10.0.0.2:7000").unwrap();
        ready_sender.send(()).unwrap();
        let mut received = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
        received
    });
    let Ok(first) = first.recv() else {
        assert!(receiver.join().unwrap().is_none(), "neither skipped nor run");
        return;
    };
    ready.recv().unwrap();
    let (second, sender) = tcp_end(1, move || {
        let data: Vec<u8> = (0..BYTES).map(byte_at).collect();
        TcpStream::connect("10.0.0.2:7000").unwrap().write_all(&data).unwrap();
    });
    let second = second.recv().unwrap();
    let mut reader = TapReader::new(64, BUFFER_LEN);
    let mut writer = TapWriter::new(64 * 64, 2 * 64 * BUFFER_LEN);
    let queues = [first.queues()[0].as_fd(), second.queues()[0].as_fd()];
    let mut largest = 0;
    let started = Instant::now();
    while !receiver.is_finished() {
        assert!(started.elapsed() < Duration::from_mins(1), "the transfer does not end");
        let mut fds = queues.map(|queue| PollFd::from_borrowed_fd(queue, PollFlags::IN));
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 })).unwrap();
        for (from, to) in [(0, 1), (1, 0)] {
            for (header, frame) in reader.read_burst(queues[from], 64).unwrap() {
                let header = header.unwrap();
                if let Some(gso) = header.segmentation {
                    assert_eq!(gso.kind, SegmentationKind::Tcp4);
                    largest = largest.max(frame.len());
                }
                pass(&mut writer, to, header, frame);
            }
            for (_, outcome) in writer.flush(|to| Some(queues[to].into())) {
                outcome.unwrap();
            }
        }
    }
    sender.join().unwrap();
    let received = receiver.join().unwrap().unwrap();
    assert_eq!(received.len(), BYTES);
    assert!(received.iter().enumerate().all(|(at, byte)| *byte == byte_at(at)));
    assert!(largest > 1500, "the kernel left no segmentation to us");
}

#[test]
fn unsegmented_tcp_passes_between_two_taps() {
    tcp_between_taps(pass_on);
}

#[test]
fn the_kernel_takes_tcp_segments_cut_in_software() {
    tcp_between_taps(pass_on_plain);
}

/// Has the kernel leave the cutting of datagrams of `size` bytes to the device (`UDP_SEGMENT`).
fn leave_segmentation_to_the_device(socket: &UdpSocket, size: libc::c_int) {
    const UDP_SEGMENT: libc::c_int = 103;
    let length = libc::socklen_t::try_from(size_of_val(&size)).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
    // SAFETY: the option is an `int`, whose address and size are given.
    let outcome = unsafe {
        libc::setsockopt(fd, libc::SOL_UDP, UDP_SEGMENT, (&raw const size).cast(), length)
    };
    assert_eq!(outcome, 0);
}

#[test]
fn the_kernel_takes_datagrams_cut_in_software() {
    in_fresh_netns(|| {
        let tap = configured_tap(1, TapOptions::default());
        if tap.offloads() == TapOffloads::Tcp {
            eprintln!("skipped: this kernel segments UDP itself");
            return;
        }
        let socket = UdpSocket::bind("10.0.0.1:5000").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        leave_segmentation_to_the_device(&socket, 1000);
        let data: Vec<u8> = (0..9500u32).map(|at| at.to_le_bytes()[0]).collect();
        socket.send_to(&data, ("10.0.0.9", 6000)).unwrap();
        let queue = tap.queues()[0].as_fd();
        let mut reader = TapReader::new(64, BUFFER_LEN);
        let mut writer = TapWriter::new(64, BUFFER_LEN);
        let (header, frame) = reader.read_burst(queue, 64).unwrap().next().unwrap();
        let header = header.unwrap();
        assert_eq!(header.segmentation.unwrap().kind, SegmentationKind::Udp);
        turn_back(frame);
        pass_on_plain(&mut writer, 0, header, frame);
        assert!(writer.flush(|_| Some(queue.into())).all(|(_, outcome)| outcome.is_ok()));
        let mut buffer = [0; 2000];
        for datagram in data.chunks(1000) {
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], datagram);
        }
    });
}
