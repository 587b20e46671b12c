//! Sessions that share a memory, and when it is used anew.

mod support;

use std::collections::HashSet;

use session::broker::{Endpoint, Limits};
use session::wire::{Refusal, Reply};
use support::{End, Listening, Program, World, eventually, finish_connect, spec};

/// A listener and its port.
struct Site<'a> {
    server: &'a Program,
    port: u16,
    listening: Listening,
}

impl<'a> Site<'a> {
    fn new(server: &'a Program, port: u16) -> Self {
        Self { server, port, listening: server.listen(port) }
    }

    fn connect(&self, client: &Program, process: u64) -> Result<End, Reply> {
        finish_connect(client.start_connect_of(process, None, self.server.at(self.port)))
    }

    fn session(&self, client: &Program, process: u64) -> (End, End) {
        let first = self.connect(client, process).expect("a session");
        (first, self.listening.accept())
    }
}

/// Both sides say that they are done, as the preload library does.
fn leave((first, second): (End, End)) {
    first.stream().leave();
    second.stream().leave();
}

#[test]
fn sessions_of_one_process_to_one_listener_share_a_memory_and_nobody_else_has_it() {
    let mut world = World::new();
    let (server, client, other) = (world.endpoint(1), world.endpoint(2), world.endpoint(3));
    let (web, data) = (Site::new(&server, 80), Site::new(&server, 81));
    let shared: Vec<_> = (0..4).map(|_| web.session(&client, 7)).collect();
    let memory = shared[0].0.info.memory;
    let mut places = HashSet::new();
    for (first, second) in &shared {
        assert_eq!((first.info.memory, second.info.memory), (memory, memory));
        assert_eq!(first.info.place, second.info.place);
        assert!(places.insert(first.info.place.index()), "a place was given twice");
    }
    let apart = [
        web.session(&client, 8),
        data.session(&client, 7),
        web.session(&other, 7),
        web.session(&client, 0),
        web.session(&client, 0),
    ];
    let mut memories = HashSet::from([memory]);
    for (first, second) in &apart {
        assert_eq!(first.info.memory, second.info.memory);
        assert!(memories.insert(first.info.memory), "a memory is shared that must not be");
    }
}

#[test]
fn neighbours_in_a_memory_keep_their_bytes_apart() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let web = Site::new(&server, 80);
    let sessions: Vec<_> = (0..20).map(|_| web.session(&client, 7)).collect();
    let text = |number: usize| vec![u8::try_from(number).expect("few"); 200_000];
    for (number, (first, second)) in sessions.iter().enumerate() {
        first.write_all(&text(number));
        second.write_all(&text(number + 100));
    }
    for (number, (first, second)) in sessions.iter().enumerate() {
        assert_eq!(second.read(200_000), text(number));
        assert_eq!(first.read(200_000), text(number + 100));
    }
}

#[test]
fn no_place_beside_a_living_session_is_used_anew() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let web = Site::new(&server, 80);
    let (held, other_side) = web.session(&client, 7);
    held.write_all(b"kept");
    drop(other_side);
    let places = held.info.place.count();
    for round in 1..5 * places {
        let pair = web.session(&client, 7);
        assert_eq!(pair.0.info.memory == held.info.memory, round < places, "round {round}");
        pair.0.write_all(b"x");
        leave(pair);
    }
    assert_eq!((held.stream().totals(), held.stream().unread_by_peer()), ((4, 0), Ok(4)));
}

#[test]
fn a_session_that_waits_to_be_accepted_keeps_its_memory() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let web = Site::new(&server, 80);
    let waiting = web.connect(&client, 7).expect("a session");
    waiting.write_all(b"last words");
    let memory = waiting.info.memory;
    let places = waiting.info.place.count();
    drop(waiting);
    for round in 1..3 * places {
        let first = web.connect(&client, 7).expect("a session");
        assert_eq!(first.info.memory == memory, round < places, "round {round}");
    }
    let second = web.listening.accept();
    assert_eq!((second.info.memory, second.read(10)), (memory, b"last words".to_vec()));
}

#[test]
fn sessions_that_were_left_make_room_although_a_neighbour_lives() {
    let mut world = World::new();
    let server = world.endpoint(1);
    let limits = Limits { sessions: 4, ..Limits::default() };
    let client = world.endpoint_with(Endpoint { limits, ..spec(1, 2) });
    let web = Site::new(&server, 80);
    let living = web.session(&client, 7);
    for _ in 0..3 {
        leave(web.session(&client, 7));
    }
    eventually("there is room", || {
        let connected = web.connect(&client, 7).map(drop);
        assert!(matches!(connected, Ok(()) | Err(Reply::Refused(Refusal::Limit))), "{connected:?}");
        connected.is_ok()
    });
    living.0.write_all(b"on");
    assert_eq!(living.1.read(2), b"on");
}
