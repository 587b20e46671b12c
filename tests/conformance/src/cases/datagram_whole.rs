//! Datagrams that must not be cut (`IP_MTU_DISCOVER`, `IPV6_MTU_DISCOVER`).

use super::Case;
use super::datagrams::{bound, recv_from, send_to};
use crate::names;
use crate::script::Script;
use crate::sys::{self, libc};

pub(super) const CASES: &[Case] = &[Case::all("datagram_whole", whole, whole_two)];

/// Datagrams that must not be cut: what is too long for the network is refused.
fn whole(script: &mut Script) {
    let fd = bound(script);
    let mut from = None;
    for _ in 0..7 {
        from = recv_from(script, fd, 70_000);
        send_to(script, fd, b"next", from.expect("a sender"));
    }
    script.log("connect", sys::connect(fd, from.expect("a sender")));
    script.meet();
}

fn whole_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    let v4 = matches!(to.ip().to_canonical(), std::net::IpAddr::V4(_));
    let (level, discover, mtu) = if v4 {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_MTU)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_MTU)
    };
    let read = |what: &str, name| {
        let (answer, len, [value, _]) = sys::get_option(fd, level, name);
        script.note(&format!("{what} = {} {len} {value}", names::answer(answer)));
    };
    read("MTU", mtu);
    script.connect(fd, to);
    read("MTU", mtu);
    read("MTU_DISCOVER", discover);
    let longest = if v4 { 1472 } else { 1452 };
    for how in [libc::IP_PMTUDISC_WANT, libc::IP_PMTUDISC_DO, libc::IP_PMTUDISC_PROBE] {
        script.log("MTU_DISCOVER", sys::set_option(fd, level, discover, how));
        for len in [longest, longest + 1, 9000] {
            let call = format!("send {len}");
            let sent = script.log(&call, sys::send(fd, &vec![7; len], 0));
            if sent.is_ok() {
                script.recv(fd, 10, 0);
            }
        }
    }
    script.log("MTU_DISCOVER", sys::set_option(fd, level, discover, libc::IP_PMTUDISC_DONT));
    for _ in 0..2 {
        send_to(script, fd, &vec![7; 9000], to);
        script.recv(fd, 10, 0);
    }
    script.log("MTU_DISCOVER", sys::set_option(fd, level, discover, 77));
    script.meet();
}
