//! Queries through a stack to the network, and answers back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dataplane::offload::{Checksum, complete_checksum};
use dataplane::stack_port::Tag;

use super::*;
use crate::fragment::Cut;
use crate::names::neighbour::station;
use crate::names::{MOST_WAITING, NameCounters};
use crate::resolve::question;
use crate::{Config, Link, Stack};

/// Takes all frames.
#[derive(Debug, Default)]
struct Wire(VecDeque<(Vec<u8>, VirtioNetHeader)>);

impl Link for Wire {
    fn room(&self) -> usize {
        1000
    }

    fn send<R>(
        &mut self,
        len: usize,
        _: Tag,
        fill: impl FnOnce(&mut [u8]) -> (VirtioNetHeader, R),
    ) -> (R, bool) {
        let mut frame = vec![0xee; len];
        let (offload, result) = fill(&mut frame);
        self.0.push_back((frame, offload));
        (result, true)
    }

    fn gone(&mut self) -> Option<Tag> {
        None
    }
}

struct Site {
    stack: Stack,
    wire: Wire,
    now: Instant,
}

const PORT: u16 = 40_000;

fn both() -> [(IpAddr, IpAddr); 2] {
    [(SERVER4.into(), GATEWAY4.into()), (SERVER6.into(), GATEWAY6.into())]
}

impl Site {
    fn new() -> Self {
        let now = Instant::now();
        Self { stack: Stack::new(Config::new(addressing(), 7), now), wire: Wire::default(), now }
    }

    /// A stack that knows its gateway.
    fn settled(gateway: IpAddr) -> Self {
        let mut site = Self::new();
        site.introduce(gateway);
        site.wire.0.clear();
        site
    }

    fn introduce(&mut self, gateway: IpAddr) {
        // Whoever asks for our address tells us its own.
        let asked = question(GATEWAY, gateway, own(gateway)).unwrap();
        self.receive(&asked);
    }

    fn receive(&mut self, frame: &[u8]) {
        self.stack.receive(self.now, frame, PLAIN, &mut self.wire);
    }

    fn ask(&mut self, server: IpAddr) -> Vec<u8> {
        let (from, to) = (SocketAddr::new(own(server), PORT), SocketAddr::new(server, 53));
        let asked = datagram((station(OWN), OWN), from, to, b"a question");
        self.stack.receive_from_kernel(self.now, &asked, PLAIN, &mut self.wire);
        asked
    }

    fn answer(&mut self, server: IpAddr, port: u16, data: &[u8]) -> Vec<u8> {
        let (from, to) = (SocketAddr::new(server, 53), SocketAddr::new(own(server), port));
        let answer = datagram((OWN, GATEWAY), from, to, data);
        self.receive(&answer);
        answer
    }

    fn counted(&self) -> NameCounters {
        self.stack.name_counters()
    }
}

#[test]
fn a_query_leaves_as_the_endpoints_own_and_its_answer_comes_back() {
    for (server, gateway) in both() {
        let mut site = Site::settled(gateway);
        let asked = site.ask(server);
        let (sent, offload) = site.wire.0.pop_front().expect("it is sent on");
        assert_eq!((&sent[..6], &sent[6..12]), (&GATEWAY.0[..], &OWN.0[..]));
        assert_eq!((&sent[12..], offload), (&asked[12..], PLAIN));
        let answer = site.answer(server, PORT, b"an answer");
        assert_eq!(site.stack.for_kernel(), Some((answer, PLAIN)));
        assert_eq!(site.stack.for_kernel(), None);
        assert!(site.wire.0.is_empty(), "nobody complains");
        let counted = NameCounters { queries: 1, answers: 1, ..NameCounters::default() };
        assert_eq!(site.counted(), counted);
    }
}

#[test]
fn a_query_waits_for_the_gateways_address() {
    for (server, gateway) in both() {
        let mut site = Site::new();
        let (from, to) = (SocketAddr::new(own(server), PORT), SocketAddr::new(server, 53));
        let whole = datagram((station(OWN), OWN), from, to, b"a question");
        // As a kernel sends it: the checksum is that of the pseudo-header.
        let mut asked = whole.clone();
        let start = headers_len(server);
        let info = IpInfo { src: from.ip(), dst: to.ip(), protocol: Protocol::UDP };
        let sum = !info.pseudo_header(asked.len() - start).finish();
        asked[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
        let checksum = Checksum::Partial { start: low16(start), offset: 6 };
        let offload = VirtioNetHeader { checksum, segmentation: None };
        site.stack.receive_from_kernel(site.now, &asked, offload, &mut site.wire);
        assert_eq!(site.wire.0.len(), 1, "the gateway is asked for");
        site.wire.0.clear();
        site.introduce(gateway);
        let sent = site.wire.0.iter().find(|(sent, _)| sent[12..] == whole[12..]);
        assert_eq!(sent.map(|(sent, _)| &sent[..6]), Some(&GATEWAY.0[..]));
        complete_checksum(&mut asked, low16(start), 6).unwrap();
        assert_eq!(asked, whole);
    }
}

#[test]
fn a_stream_goes_both_ways() {
    for (server, gateway) in both() {
        let mut site = Site::settled(gateway);
        let (near, far) = (SocketAddr::new(own(server), PORT), SocketAddr::new(server, 53));
        let syn = segment((station(OWN), OWN), near, far, 2);
        site.stack.receive_from_kernel(site.now, &syn, PLAIN, &mut site.wire);
        assert_eq!(site.wire.0.pop_front().map(|it| it.0[12..].to_vec()), Some(syn[12..].to_vec()));
        let answer = segment((OWN, GATEWAY), far, near, 0x12);
        site.receive(&answer);
        assert_eq!(site.stack.for_kernel(), Some((answer, PLAIN)));
        assert!(site.wire.0.is_empty(), "the stack does not reset it");
    }
}

#[test]
fn what_was_not_asked_for_does_not_reach_the_kernel() {
    for (server, gateway) in both() {
        let mut site = Site::settled(gateway);
        site.answer(server, PORT, b"before the question");
        site.ask(server);
        site.answer(server, PORT + 1, b"to another port");
        let (from, to) = (SocketAddr::new(server, 54), SocketAddr::new(own(server), PORT));
        site.receive(&datagram((OWN, GATEWAY), from, to, b"from another port"));
        let other = if server.is_ipv4() { IpAddr::from(GATEWAY4) } else { GATEWAY6.into() };
        site.answer(other, PORT, b"from another server");
        site.now += Duration::from_secs(11);
        site.answer(server, PORT, b"too late");
        assert_eq!(site.stack.for_kernel(), None);
        assert_eq!(site.stack.counters().udp_unreachable, 5, "the stack refuses all of it");
    }
}

#[test]
fn a_damaged_answer_does_not_reach_the_kernel() {
    let mut site = Site::settled(GATEWAY4.into());
    site.ask(SERVER4.into());
    let (from, to) = (SocketAddr::new(SERVER4.into(), 53), SocketAddr::new(OWN4.into(), PORT));
    let mut answer = datagram((OWN, GATEWAY), from, to, b"an answer");
    *answer.last_mut().unwrap() ^= 1;
    site.receive(&answer);
    assert_eq!((site.stack.for_kernel(), site.stack.counters().bad_checksum), (None, 1));
}

#[test]
fn a_long_answer_is_put_together_first() {
    let mut site = Site::settled(GATEWAY4.into());
    site.ask(SERVER4.into());
    let (from, to) = (SocketAddr::new(SERVER4.into(), 53), SocketAddr::new(OWN4.into(), PORT));
    let whole = datagram((OWN, GATEWAY), from, to, &[7; 3000]);
    let cut = Cut::new(&whole, 1500, 9);
    for piece in cut.pieces() {
        let mut part = vec![0; cut.frame_len(piece)];
        cut.write(piece, &mut part);
        site.receive(&part);
    }
    let (answer, _) = site.stack.for_kernel().expect("an answer");
    assert_eq!(answer[34..], whole[34..], "ports and data");
}

#[test]
fn a_port_that_nobody_has_is_told_to_the_kernel() {
    let mut site = Site::settled(GATEWAY4.into());
    let asked = site.ask(SERVER4.into());
    let mut message = vec![3, 3, 0, 0, 0, 0, 0, 0];
    message.extend(&asked[EthernetHeader::LEN..]);
    let sum = dataplane::offload::checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let info = IpInfo { src: SERVER4.into(), dst: OWN4.into(), protocol: Protocol::ICMP };
    let report = frame(OWN, GATEWAY, info, &message);
    site.receive(&report);
    assert_eq!(site.stack.for_kernel(), Some((report, PLAIN)));
}

#[test]
fn a_programs_own_socket_comes_before_the_kernel() {
    let mut site = Site::settled(GATEWAY4.into());
    let local = SocketAddr::new(OWN4.into(), PORT);
    let socket = site.stack.udp_bind(site.now, local).unwrap();
    site.stack.udp_connect(socket, Some(SocketAddr::new(SERVER4.into(), 53))).unwrap();
    site.ask(SERVER4.into());
    site.answer(SERVER4.into(), PORT, b"for the program");
    assert_eq!(site.stack.for_kernel(), None);
    let received = site.stack.udp_receive(socket).unwrap().expect("a datagram");
    assert_eq!(&*received.data, b"for the program");
    // One that takes datagrams from all does not.
    site.stack.udp_connect(socket, None).unwrap();
    site.answer(SERVER4.into(), PORT, b"for the kernel");
    assert!(site.stack.for_kernel().is_some());
}

#[test]
fn without_a_gateway_a_query_goes_nowhere() {
    let mut inside = addressing();
    inside.ipv4 = inside.ipv4.map(|own| Ipv4Config { gateway: None, ..own });
    let mut site = Site::new();
    site.stack = Stack::new(Config::new(inside, 7), site.now);
    site.ask(SERVER4.into());
    assert!(site.wire.0.is_empty());
    assert_eq!(site.counted(), NameCounters { unsent: 1, ..NameCounters::default() });
}

#[test]
fn strays_are_counted_and_go_nowhere() {
    let mut site = Site::settled(GATEWAY4.into());
    let (from, to) = (SocketAddr::new(OWN4.into(), 1), SocketAddr::new(SERVER4.into(), 5353));
    let stray = datagram((station(OWN), OWN), from, to, b"no name");
    site.stack.receive_from_kernel(site.now, &stray, PLAIN, &mut site.wire);
    assert!(site.wire.0.is_empty() && site.stack.for_kernel().is_none());
    assert_eq!(site.counted(), NameCounters { strays: 1, ..NameCounters::default() });
}

#[test]
fn answers_wait_in_bounded_number() {
    let mut site = Site::settled(GATEWAY4.into());
    site.ask(SERVER4.into());
    for _ in 0..MOST_WAITING + 3 {
        site.answer(SERVER4.into(), PORT, b"again");
    }
    let counted = site.counted();
    assert_eq!((counted.answers, counted.untaken), (MOST_WAITING as u64, 3));
    assert_eq!(std::iter::from_fn(|| site.stack.for_kernel()).count(), MOST_WAITING);
}

#[test]
fn a_flood_of_queries_stops_at_what_a_neighbour_may_have_on_the_way() {
    let mut site = Site::settled(GATEWAY4.into());
    for _ in 0..5000 {
        site.ask(SERVER4.into());
    }
    let counted = site.counted();
    assert_eq!(counted.queries + counted.unsent, 5000);
    assert_eq!(site.wire.0.len() as u64, counted.queries);
    assert!(counted.queries < 1000, "{counted:?}");
}
