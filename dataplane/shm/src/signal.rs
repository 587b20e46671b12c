//! Publishing to a receiver that may sleep.
//!
//! The sender stores its index and then looks whether the receiver wants an interrupt; the receiver
//! asks for interrupts and then looks at the index once more before it sleeps. Each side stores one
//! word and loads the other, so without a full fence on both sides each could miss the other's store
//! (store buffering) and the receiver would sleep on a ring with frames in it.
//!
//! Senders that leave their fence out exist (VPP 26.06 `memif/device.c`, DPDK `rte_eth_memif.c`):
//! towards those the first sleep after [`arm`] must be a short one.

/// A 16-bit word that two sides share; implemented by [`crate::SharedU16`] and, for model checking,
/// by loom's atomic.
pub trait Word {
    /// Loads; what the writer wrote before is visible afterwards.
    fn load_acquire(&self) -> u16;
    /// Loads without ordering.
    fn load_relaxed(&self) -> u16;
    /// Stores after everything written before.
    fn store_release(&self, value: u16);
    /// Stores without ordering.
    fn store_relaxed(&self, value: u16);
}

/// The bit in a ring's flags by which its receiver says that it polls (`MEMIF_RING_FLAG_MASK_INT`).
pub const MASK_INTERRUPT: u16 = 1;

/// Sender: publishes `value` and tells whether the receiver must be woken.
#[inline]
pub fn publish<W: Word>(index: &W, flags: &W, value: u16) -> bool {
    index.store_release(value);
    full_fence();
    flags.load_relaxed() & MASK_INTERRUPT == 0
}

/// Receiver: asks for interrupts, then reports whether the ring is still as it was at `seen`. When
/// it returns `false` there is work, and the receiver must not sleep.
#[inline]
pub fn arm<W: Word>(index: &W, flags: &W, seen: u16) -> bool {
    flags.store_relaxed(flags.load_relaxed() & !MASK_INTERRUPT);
    full_fence();
    index.load_acquire() == seen
}

/// Receiver: says that it polls again.
#[inline]
pub fn disarm<W: Word>(flags: &W) {
    flags.store_relaxed(flags.load_relaxed() | MASK_INTERRUPT);
}

/// Whether an index that went from `old` to `new` passed the place `event` at which the receiver wants to
/// be woken (`vring_need_event`, virtio 1.2, 2.7.10).
#[inline]
pub fn passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// Sender: as [`publish`] where the receiver names the place at which it wants to be woken; `old` is the
/// value that was published before.
#[inline]
pub fn publish_past<W: Word>(index: &W, event: &W, old: u16, value: u16) -> bool {
    index.store_release(value);
    full_fence();
    passed(event.load_relaxed(), old, value)
}

/// Receiver: as [`arm`] where it names the place: it wants to be woken by the next value.
#[inline]
pub fn arm_at<W: Word>(index: &W, event: &W, seen: u16) -> bool {
    event.store_relaxed(seen);
    full_fence();
    index.load_acquire() == seen
}

#[inline]
fn full_fence() {
    #[cfg(not(loom))]
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    #[cfg(loom)]
    loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};

    impl Word for AtomicU16 {
        fn load_acquire(&self) -> u16 {
            self.load(Ordering::Acquire)
        }

        fn load_relaxed(&self) -> u16 {
            self.load(Ordering::Relaxed)
        }

        fn store_release(&self, value: u16) {
            self.store(value, Ordering::Release);
        }

        fn store_relaxed(&self, value: u16) {
            self.store(value, Ordering::Relaxed);
        }
    }

    struct Ring {
        index: AtomicU16,
        flags: AtomicU16,
        payload: AtomicUsize,
        kicked: AtomicBool,
    }

    fn ring() -> Arc<Ring> {
        Arc::new(Ring {
            index: AtomicU16::new(0),
            flags: AtomicU16::new(MASK_INTERRUPT),
            payload: AtomicUsize::new(0),
            kicked: AtomicBool::new(false),
        })
    }

    #[test]
    fn a_receiver_never_sleeps_on_a_published_frame() {
        loom::model(|| {
            let ring = ring();
            let sender = loom::thread::spawn({
                let ring = Arc::clone(&ring);
                move || {
                    ring.payload.store(42, Ordering::Relaxed);
                    if publish(&ring.index, &ring.flags, 1) {
                        ring.kicked.store(true, Ordering::SeqCst);
                    }
                }
            });
            let may_sleep = arm(&ring.index, &ring.flags, 0);
            if !may_sleep {
                assert_eq!(ring.payload.load(Ordering::Relaxed), 42);
            }
            sender.join().unwrap();
            assert!(!may_sleep || ring.kicked.load(Ordering::SeqCst), "asleep, and nobody kicks");
        });
    }

    #[test]
    fn a_receiver_that_named_a_place_never_sleeps_on_a_published_frame() {
        loom::model(|| {
            let ring = ring();
            // As a receiver leaves it that polled before: far behind.
            ring.flags.store(u16::MAX - 7, Ordering::Relaxed);
            let sender = loom::thread::spawn({
                let ring = Arc::clone(&ring);
                move || {
                    ring.payload.store(42, Ordering::Relaxed);
                    if publish_past(&ring.index, &ring.flags, 0, 1) {
                        ring.kicked.store(true, Ordering::SeqCst);
                    }
                }
            });
            let may_sleep = arm_at(&ring.index, &ring.flags, 0);
            if !may_sleep {
                assert_eq!(ring.payload.load(Ordering::Relaxed), 42);
            }
            sender.join().unwrap();
            assert!(!may_sleep || ring.kicked.load(Ordering::SeqCst), "asleep, and nobody kicks");
        });
    }

    #[test]
    fn a_receiver_that_polls_again_still_sees_every_frame() {
        loom::model(|| {
            let ring = ring();
            let sender = loom::thread::spawn({
                let ring = Arc::clone(&ring);
                move || {
                    for value in 1..=2 {
                        ring.payload.store(usize::from(value), Ordering::Relaxed);
                        if publish(&ring.index, &ring.flags, value) {
                            ring.kicked.store(true, Ordering::SeqCst);
                        }
                    }
                }
            });
            let may_sleep = arm(&ring.index, &ring.flags, 0);
            disarm(&ring.flags);
            sender.join().unwrap();
            let seen = ring.index.load_acquire();
            assert_eq!(seen, 2);
            assert!(!may_sleep || ring.kicked.load(Ordering::SeqCst) || seen == 2);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::passed;

    #[test]
    fn a_place_is_passed_once_also_where_indices_wrap() {
        assert!(passed(5, 5, 6), "the next one");
        assert!(!passed(5, 6, 7), "passed before");
        assert!(!passed(9, 5, 8), "not reached");
        assert!(passed(6, 5, 8), "in the middle of a batch");
        assert!(passed(u16::MAX, u16::MAX, 0));
        assert!(!passed(3, 3, 3), "nothing was published");
    }
}
