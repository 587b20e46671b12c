//! The stack and the kernel's own stack, behind a TAP of the same bridge domain. Needs root and
//! /dev/net/tun, and says so when it is skipped.

mod lab;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::kernel_stream::{patient, pour, swallow};
use lab::service::{Ended, Job, fill_pattern};
use lab::{Lab, Namespace, PATIENCE, both, ipv4, ipv6};
use stack::StackError;

/// The stack is station 1, the kernel station 2.
fn lab(mtu: u16) -> Option<(Lab, lab::Host, Namespace)> {
    let lab = Lab::new(mtu);
    // First: the kernel speaks to everybody as soon as it joins.
    let host = lab.host(1);
    let kernel = Namespace::join(&lab, 2)?;
    Some((lab, host, kernel))
}

fn serve(host: &lab::Host, port: u16, job: Job) {
    host.ask(move |stack, services, now| {
        for any in ["0.0.0.0", "::"] {
            let at = SocketAddr::new(any.parse().expect("an address"), port);
            services.listen(stack, at, job, now);
        }
    });
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).expect("connects");
    patient(&stream, PATIENCE);
    stream
}

fn echo_through(stream: &TcpStream, count: u64) {
    std::thread::scope(|scope| {
        let received = scope.spawn(|| swallow(stream));
        pour(stream, count);
        stream.shutdown(Shutdown::Write).expect("open");
        assert_eq!(received.join().expect("no panic"), count);
    });
}

#[test]
fn the_kernel_connects_to_the_stack() {
    for mtu in [1500, 9000] {
        let Some((lab, host, kernel)) = lab(mtu) else { return };
        serve(&host, 7, Job::Echo);
        for address in both(1) {
            kernel.run(|| echo_through(&connect((address, 7).into()), 20_000_000));
        }
        assert_eq!(lab.counters(host.port).dropped_total(), 0);
        let ended = host.wait_for("both connections end", |_, services| {
            (services.last.len() == 2).then(|| services.last.clone())
        });
        let fine = Ended { received: 20_000_000, sent: 20_000_000, intact: true, error: None };
        assert_eq!(ended, [fine, fine]);
    }
}

#[test]
fn the_stack_connects_to_the_kernel() {
    let Some((lab, host, kernel)) = lab(1500) else { return };
    for address in both(2) {
        let at = SocketAddr::new(address, 5000);
        let listener = kernel.run(|| TcpListener::bind(at).expect("binds"));
        let poured = 30_000_000;
        let id = host
            .ask(move |stack, services, now| services.connect(stack, at, Job::Pour(poured), now));
        let (stream, peer) = listener.accept().expect("accepts");
        assert!(both(1).contains(&peer.ip()));
        assert_eq!(swallow(&stream), poured);
        drop(stream);
        let ended = host
            .wait_for("the connection ends", move |_, services| services.ended.get(&id).copied());
        assert_eq!((ended.sent, ended.error), (poured, None));
        // And the other way round.
        let id =
            host.ask(move |stack, services, now| services.connect(stack, at, Job::Swallow, now));
        let (stream, _) = listener.accept().expect("accepts");
        pour(&stream, poured);
        drop(stream);
        let ended = host
            .wait_for("the connection ends", move |_, services| services.ended.get(&id).copied());
        assert_eq!(ended, Ended { received: poured, sent: 0, intact: true, error: None });
    }
    assert_eq!(lab.counters(host.port).dropped_total(), 0);
}

#[test]
fn a_gibibyte_arrives_intact() {
    let Some((_lab, host, kernel)) = lab(1500) else { return };
    serve(&host, 9, Job::Swallow);
    let count = 1 << 30;
    kernel.run(|| {
        let stream = connect((ipv4(1), 9).into());
        pour(&stream, count);
        stream.shutdown(Shutdown::Write).expect("open");
        assert_eq!(swallow(&stream), 0);
    });
    let ended = host.wait_for("the connection ends", |_, services| services.last.first().copied());
    assert_eq!(ended, Ended { received: count, sent: 0, intact: true, error: None });
}

#[test]
fn the_kernel_pings_the_stack() {
    let Some((_lab, host, kernel)) = lab(1500) else { return };
    let ping = |address: String, size: &str| {
        kernel.run(|| {
            let mut ping = Command::new("ping");
            ping.args(["-c", "3", "-i", "0.1", "-W", "5", "-s", size, &address]);
            ping.stdout(Stdio::null()).status().expect("the tests need ping").success()
        })
    };
    for address in both(1) {
        // In one packet, and in several.
        for size in ["56", "1400", "1473", "9000", "65507"] {
            assert!(ping(address.to_string(), size), "{size} bytes");
        }
    }
    host.ask(|stack, _, _| stack.set_answers_echo(false));
    assert!(!ping(ipv4(1).to_string(), "56"));
}

#[test]
fn datagrams_both_ways() {
    let Some((_lab, host, kernel)) = lab(1500) else { return };
    host.ask(|stack, services, now| {
        for any in ["0.0.0.0:7", "[::]:7"] {
            services.udp_echo(stack, any.parse().expect("an address"), now);
        }
    });
    for address in both(1) {
        kernel.run(|| {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).expect("binds");
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
            socket.connect((address, 7)).expect("connects");
            // The longest that each version takes, in fragments.
            let longest = if address.is_ipv4() { 65_507 } else { 65_527 };
            for length in [0, 1, 100, 1400, 1473, 9000, longest] {
                let mut data = vec![0; length];
                fill_pattern(length as u64, &mut data);
                socket.send(&data).expect("sends");
                let mut answer = vec![0; 70_000];
                let count = socket.recv(&mut answer).expect("an answer");
                assert_eq!(answer[..count], data);
            }
            // Where nobody is, the kernel hears of it.
            socket.connect((address, 8)).expect("connects");
            socket.send(b"anybody?").expect("sends");
            let refused = socket.recv(&mut [0; 10]).expect_err("nobody");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        });
    }
}

#[test]
fn refusals() {
    let Some((_lab, host, kernel)) = lab(1500) else { return };
    for address in both(1) {
        // At port 0 nobody can listen.
        for port in [1, 0] {
            let connect = || TcpStream::connect((address, port));
            let refused = kernel.run(connect).expect_err("nobody listens");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
    }
    for address in both(2) {
        let at = SocketAddr::new(address, 1);
        let id =
            host.ask(move |stack, services, now| services.connect(stack, at, Job::Swallow, now));
        let ended =
            host.wait_for("the refusal", move |_, services| services.ended.get(&id).copied());
        assert_eq!(ended.error, Some(StackError::Refused));
    }
}

#[test]
fn many_short_connections() {
    let Some((_lab, host, kernel)) = lab(1500) else { return };
    serve(&host, 7, Job::Echo);
    kernel.run(|| {
        for n in 0..500u32 {
            let address = both(1)[n as usize % 2];
            let mut stream = connect((address, 7).into());
            stream.write_all(&n.to_be_bytes()).expect("writes");
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).expect("reads");
            assert_eq!(answer, n.to_be_bytes());
        }
    });
    host.wait_for("all of them end", |stack, services| {
        (services.last.len() == 500 && stack.connections().count() == 0).then_some(())
    });
}

#[test]
fn many_connections_at_once() {
    let Some((_lab, host, kernel)) = lab(1500) else { return };
    serve(&host, 7, Job::Echo);
    kernel.run(|| {
        let streams: Vec<_> = (0..300).map(|n| connect((both(1)[n % 2], 7).into())).collect();
        std::thread::scope(|scope| {
            for some in streams.chunks(30) {
                scope.spawn(move || {
                    for stream in some {
                        echo_through(stream, 100_000);
                    }
                });
            }
        });
    });
}

#[test]
fn a_kernel_that_vanishes_is_noticed() {
    let Some((lab, host, kernel)) = lab(1500) else { return };
    let at = SocketAddr::new(ipv6(2).into(), 5000);
    let listener = kernel.run(|| TcpListener::bind(at).expect("binds"));
    let id =
        host.ask(move |stack, services, now| services.connect(stack, at, Job::Pour(u64::MAX), now));
    let (stream, _) = listener.accept().expect("accepts");
    std::thread::sleep(Duration::from_millis(50));
    // Closing with unread data resets the connection.
    drop(stream);
    let ended = host.wait_for("the reset", move |_, services| services.ended.get(&id).copied());
    assert_eq!(ended.error, Some(StackError::Reset));
    drop(lab);
}
