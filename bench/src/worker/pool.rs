//! Private memory for a batch of frames.

use super::stream::BATCH;

/// Bytes of a cache line.
const LINE: usize = 64;

/// A batch of buffers, used again and again, as DPDK's packet pool does with its cache. Each begins at a cache line, as
/// DPDK's do, and they are an odd number of lines apart, so that they do not meet in a few sets of the cache: a
/// copy is then between two lines and not between four, wherever the allocator put the memory.
#[derive(Debug)]
pub(super) struct Pool {
    memory: Vec<u8>,
    /// Of the first buffer in `memory`.
    first: usize,
    /// From each buffer to the next.
    stride: usize,
}

impl Pool {
    /// With buffers of at least `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        let stride = (bytes.div_ceil(LINE) | 1) * LINE;
        let memory = vec![0; stride * BATCH + LINE];
        let first = memory.as_ptr().align_offset(LINE);
        Self { memory, first, stride }
    }

    /// Buffer `at` of the batch, counted around.
    #[inline]
    pub(super) fn buffer(&self, at: usize) -> &[u8] {
        let start = self.first + at % BATCH * self.stride;
        &self.memory[start..start + self.stride]
    }

    /// The same, for writing.
    #[inline]
    pub(super) fn buffer_mut(&mut self, at: usize) -> &mut [u8] {
        let start = self.first + at % BATCH * self.stride;
        &mut self.memory[start..start + self.stride]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_at_lines_are_apart_and_hold_what_was_asked() {
        for bytes in [1, 64, 1518, 2048, 65_536] {
            let mut pool = Pool::new(bytes);
            for (at, mark) in (0..BATCH).zip(1_u8..) {
                assert!(pool.buffer(at).len() >= bytes);
                assert_eq!(pool.buffer(at).as_ptr().align_offset(LINE), 0);
                pool.buffer_mut(at).fill(mark);
            }
            for (at, mark) in (0..BATCH).zip(1_u8..) {
                assert!(
                    pool.buffer(at).iter().all(|&byte| byte == mark),
                    "buffer {at} of {bytes} bytes"
                );
            }
        }
    }
}
