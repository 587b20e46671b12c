//! Frames through a memif ring, both ends in this process.

use std::hint::black_box;

use memif::memory::{ClientLayout, ClientMemory, Queues, server_queues};
use memif::{BufferSize, Limits, RegionPolicy, RingSize};

/// Frames between two publications, as in the other benchmarks.
pub(crate) const BURST: u32 = 32;
const SHORT: usize = 64;
/// Takes five buffers.
const LONG: usize = 9000;

fn pair() -> Result<(Queues, Queues), String> {
    let layout = ClientLayout {
        client_to_server: 1,
        server_to_client: 1,
        ring_size: RingSize::default(),
        buffer_size: BufferSize::default(),
    };
    let text = |error: memif::memory::RegionError| error.to_string();
    let memory = ClientMemory::create(layout).map_err(text)?;
    let shared = memory.share().map_err(text)?;
    let server = server_queues(shared, RegionPolicy::Sealed, &Limits::default()).map_err(text)?;
    Ok((memory.into_queues().map_err(text)?, server))
}

/// A burst of short frames into the ring and out of it.
pub(crate) fn publish_consume(iterations: u32) -> Result<(), String> {
    through(iterations, BURST, SHORT)
}

/// A long frame that takes several buffers.
pub(crate) fn chained(iterations: u32) -> Result<(), String> {
    through(iterations, 1, LONG)
}

fn through(iterations: u32, burst: u32, length: usize) -> Result<(), String> {
    let (mut client, mut server) = pair()?;
    let (tx, rx) = (&mut client.tx[0], &mut server.rx[0]);
    let frame = vec![0x5a; length];
    let mut buffer = vec![0; length];
    for _ in 0..iterations {
        for _ in 0..burst {
            tx.push(black_box(frame.as_slice())).map_err(|error| error.to_string())?;
        }
        tx.flush().map_err(|error| error.to_string())?;
        let batch = rx.batch(burst as usize).map_err(|error| error.to_string())?;
        let mut count = 0;
        for received in batch.frames() {
            count += u32::from(received.copy_to(&mut buffer) == length);
            black_box(&mut buffer);
        }
        if count != burst {
            return Err(format!("{count} of {burst} frames arrived"));
        }
    }
    Ok(())
}
