//! How fast streams are: between two stacks of one bridge domain, and between a stack and the kernel
//! behind a TAP (as root). `cargo run --release -p stack --example throughput [stacks|in|out|rtt]...`

#[path = "../tests/lab/mod.rs"]
mod lab;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use lab::service::{Ended, Job};
use lab::{Lab, Namespace, ipv4};

const BYTES: u64 = 8 << 30;
const TURNS: u32 = 50_000;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, run) in
        [("stacks", stacks as fn()), ("in", receive_from_kernel), ("out", to_kernel), ("rtt", rtt)]
    {
        if wanted.is_empty() || wanted.iter().any(|it| it == name) {
            run();
        }
    }
}

fn report(what: &str, bytes: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = bytes as f64 * 8.0 / seconds / 1e9;
    println!("{what}: {rate:.1} Gbit/s");
}

fn last(host: &lab::Host) -> Ended {
    host.wait_for("the stream ends", |_, services| services.last.first().copied())
}

fn stacks() {
    let lab = Lab::new(1500);
    let (near, far) = (lab.host(1), lab.host(2));
    far.ask(|stack, services, now| {
        services.listen(stack, (ipv4(2), 9).into(), Job::Discard, now);
    });
    let start = Instant::now();
    near.ask(|stack, services, now| {
        services.connect(stack, (ipv4(2), 9).into(), Job::PourZeros(BYTES), now)
    });
    assert_eq!(last(&far).received, BYTES);
    report("stack to stack", BYTES, start);
}

fn receive_from_kernel() {
    let lab = Lab::new(1500);
    let Some(kernel) = Namespace::join(&lab, 2) else { return };
    let host = lab.host(1);
    host.ask(|stack, services, now| {
        services.listen(stack, (ipv4(1), 9).into(), Job::Discard, now);
    });
    let start = Instant::now();
    kernel.run(|| {
        let mut stream = TcpStream::connect((ipv4(1), 9)).expect("connects");
        let piece = vec![0; 1 << 18];
        for _ in 0..BYTES >> 18 {
            stream.write_all(&piece).expect("writes");
        }
        stream.shutdown(Shutdown::Write).expect("open");
        assert_eq!(stream.read(&mut [0]).expect("reads"), 0);
    });
    report("kernel to stack", BYTES, start);
    println!("  stack {:?}", host.stop());
}

fn to_kernel() {
    let lab = Lab::new(1500);
    let Some(kernel) = Namespace::join(&lab, 2) else { return };
    let host = lab.host(1);
    let at = SocketAddr::from((ipv4(2), 9));
    let listener = kernel.run(|| TcpListener::bind(at).expect("binds"));
    let start = Instant::now();
    host.ask(move |stack, services, now| services.connect(stack, at, Job::PourZeros(BYTES), now));
    let (mut stream, _) = listener.accept().expect("accepts");
    let mut piece = vec![0; 1 << 18];
    let mut received = 0;
    loop {
        match stream.read(&mut piece).expect("reads") {
            0 => break,
            count => received += count as u64,
        }
    }
    assert_eq!(received, BYTES);
    report("stack to kernel", BYTES, start);
    println!("  stack {:?}", host.stop());
}

fn rtt() {
    let lab = Lab::new(1500);
    let Some(kernel) = Namespace::join(&lab, 2) else { return };
    let host = lab.host(1);
    host.ask(|stack, services, now| {
        services.listen(stack, (ipv4(1), 7).into(), Job::Echo, now);
    });
    kernel.run(|| {
        let mut stream = TcpStream::connect((ipv4(1), 7)).expect("connects");
        stream.set_nodelay(true).expect("a socket");
        let mut times: Vec<_> = (0..TURNS)
            .map(|_| {
                let start = Instant::now();
                stream.write_all(&[1]).expect("writes");
                stream.read_exact(&mut [0]).expect("reads");
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        let at = |part: usize| times[times.len() * part / 100];
        println!("kernel to stack and back, 1 byte: p50 {:?}, p99 {:?}", at(50), at(99));
    });
}
