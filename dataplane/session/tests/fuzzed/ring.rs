//! Both directions of a session, between a side that keeps the rules and one that may not.

use std::collections::VecDeque;
use std::os::fd::AsFd;

use session::layout::{HEADER_BYTES, RingSize, Side, initialise};
use session::{Closed, Local, Room, Stream, datagram};
use shm::Mapping;

/// The first side is honest. The second reads and writes as it should, and now and then scribbles over the
/// shared memory; until it does so, every byte arrives once and in order.
pub(crate) fn session_ring(data: &[u8]) {
    let size = RingSize::new(4096).expect("a valid size");
    let memory = shm::memfd::create_sealed("fuzz", size.memory_bytes() as u64).expect("memory");
    let memory = Mapping::map(memory.as_fd(), size.memory_bytes()).expect("a mapping");
    initialise(&memory, size).expect("long enough");
    let (own, peers) = (Local::new(), Local::new());
    let honest = Stream::new(&memory, &own, Side::First, size).expect("long enough");
    let other = Stream::new(&memory, &peers, Side::Second, size).expect("long enough");
    let mut directions = [Direction::default(), Direction::default()];
    let mut broken = false;
    let mut steps = data.chunks_exact(4);
    for step in &mut steps {
        let len = usize::from(u16::from_le_bytes([step[1], step[2]])) % 6000;
        match step[0] & 15 {
            0 | 1 => directions[0].write(&honest, len, broken),
            2 | 3 => directions[0].read(&other, len, broken),
            4 | 5 => directions[1].write(&other, len, broken),
            6 | 7 => directions[1].read(&honest, len, broken),
            8 => drop(honest.arm_reader(len as u64)),
            9 => drop((
                honest.arm_writer(Room::Any),
                honest.note_filled(),
                honest.must_keep_tokens(),
            )),
            10 => drop((honest.readable(), honest.writable(), honest.unread_by_peer())),
            11 => drop(honest.peek(len / 2, &mut vec![0; len]).map(|got| assert!(got <= len))),
            12 if step[3] & 1 == 0 => other.end(),
            12 => other.close(Closed::Reset),
            13 => {
                broken = true;
                scribble(&memory, len, [step[3]; 8]);
            }
            14 => {
                // Datagrams in a ring of bytes, and the other way round, are another way to break rules.
                broken = true;
                if let Ok(Some(first)) = datagram::Waiting::first(&honest) {
                    let _ = first.read(0, &mut vec![0; len]);
                    if step[3] & 1 != 0 {
                        let _ = first.remove();
                    }
                }
                if let Ok(Some(mut slot)) = datagram::Slot::reserve(&honest, len) {
                    let _ = slot.put(&vec![7; len]);
                    let _ = slot.publish();
                }
            }
            _ => drop((honest.adopt_positions(), honest.peer_ended(), honest.peer_closed())),
        }
    }
}

fn scribble(memory: &Mapping, at: usize, word: [u8; 8]) {
    let at = at % (HEADER_BYTES / 2);
    memory.write(at, &word).expect("inside the header");
}

#[derive(Default)]
struct Direction {
    waiting: VecDeque<u8>,
    next: u8,
}

impl Direction {
    fn write(&mut self, stream: &Stream<'_>, len: usize, broken: bool) {
        let bytes: Vec<u8> = (0..len).map(|_| self.advance()).collect();
        match stream.write(&bytes) {
            Ok(moved) => {
                assert!(moved.bytes <= len);
                let back = len - moved.bytes;
                self.next = self.next.wrapping_sub(u8::try_from(back % 256).expect("below 256"));
                self.waiting.extend(&bytes[..moved.bytes]);
            }
            Err(error) => assert!(broken, "{error}"),
        }
    }

    fn read(&mut self, stream: &Stream<'_>, len: usize, broken: bool) {
        let mut bytes = vec![0; len];
        match stream.read(&mut bytes) {
            Ok(moved) => {
                assert!(moved.bytes <= len);
                if !broken {
                    assert_eq!(moved.bytes, len.min(self.waiting.len()));
                    assert!(
                        bytes.iter().take(moved.bytes).eq(self.waiting.iter().take(moved.bytes))
                    );
                }
                self.waiting.drain(..moved.bytes.min(self.waiting.len()));
            }
            Err(error) => assert!(broken, "{error}"),
        }
    }

    fn advance(&mut self) -> u8 {
        self.next = self.next.wrapping_add(1);
        self.next
    }
}
