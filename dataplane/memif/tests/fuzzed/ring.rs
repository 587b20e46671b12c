//! A peer that writes anything anywhere between the operations of a correct end.

use std::os::fd::AsFd;

use memif::memory::{ClientLayout, ClientMemory, Queues, server_queues};
use memif::parameters::{BufferSize, Limits, RegionPolicy, RingSize};
use memif::queue::{MAX_SEGMENTS, RxQueue};
use shm::Mapping;

/// Both ends of a link over one region, of which a third mapping is scribbled over. Each step is six
/// bytes: an operation, an argument, a place and a value.
pub(crate) fn memif_ring(data: &[u8]) {
    let Some((&shape, steps)) = data.split_first() else { return };
    let layout = ClientLayout {
        client_to_server: 1,
        server_to_client: 1,
        ring_size: RingSize::from_log2(1 + shape % 4).expect("1 to 4"),
        buffer_size: BufferSize::new(64).expect("the least"),
    };
    let memory = ClientMemory::create(layout).expect("memory");
    let shared = memory.share().expect("descriptors");
    let size = usize::try_from(shared.regions[0].size).expect("small");
    let raw = Mapping::map(shared.regions[0].fd.as_fd(), size).expect("maps");
    let mut server =
        server_queues(shared, RegionPolicy::Sealed, &Limits::default()).expect("a correct client");
    let mut client = memory.into_queues().expect("correct");
    for step in steps.chunks_exact(6) {
        let [operation, argument, at, at_high, value, value_high] = *step else { return };
        let end = if operation & 0x80 == 0 { &mut client } else { &mut server };
        operate(end, operation & 0x7f, argument, size);
        // Rings come first, so most places are those of an index or a descriptor.
        let at = usize::from(u16::from_le_bytes([at, at_high])) % 640;
        let _ = raw.write(at, &[value, value_high][..=usize::from(argument & 1)]);
    }
}

fn operate(end: &mut Queues, operation: u8, argument: u8, size: usize) {
    match operation % 6 {
        0 => drop(end.tx[0].push(&vec![argument; 1 + usize::from(argument) * 5][..])),
        1 => drop(end.tx[0].flush()),
        2 => drop(end.rx[0].arm()),
        3 => end.rx[0].release(),
        4 => forward(end, usize::from(argument)),
        _ => take(&mut end.rx[0], usize::from(argument), size),
    }
}

fn take(rx: &mut RxQueue, max: usize, size: usize) {
    let Ok(batch) = rx.batch(max) else { return };
    for frame in batch.frames() {
        assert!((1..=MAX_SEGMENTS * size).contains(&frame.len()));
        let (header, length) = frame.header::<64>();
        assert_eq!(length, frame.len().min(64));
        assert_eq!(frame.to_vec()[..length].len(), header[..length].len());
    }
}

/// Sends what arrives back the other way, as a bridge does.
fn forward(end: &mut Queues, max: usize) {
    let Ok(batch) = end.rx[0].batch(max) else { return };
    for frame in batch.frames() {
        let (header, length) = frame.header::<18>();
        let _ = end.tx[0].forward(&header[..length], &frame);
    }
}
