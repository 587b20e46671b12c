//! How a side goes away, and how several processes of one side follow each other.

use core::sync::atomic::Ordering;

use crate::Stream;

impl Stream<'_> {
    /// Whether this side said that no more bytes will be written.
    pub fn ended(&self) -> bool {
        self.word32(self.out.end_of_stream()).is_ok_and(|it| it.load(Ordering::Acquire) != 0)
    }

    /// Says whether going away shall be a reset from now on (`SO_LINGER` with a time of zero). A
    /// will, because a side that shares its socket with other processes cannot know whose close is
    /// the last, and because it may die without any.
    pub fn set_will_to_reset(&self, reset: bool) {
        if let Ok(word) = self.word32(self.into.will()) {
            word.store(u32::from(reset), Ordering::Release);
        }
    }

    /// Whether the peer's going away is a reset: to be asked when it is gone.
    pub fn peer_wills_reset(&self) -> bool {
        self.word32(self.out.will()).is_ok_and(|it| it.load(Ordering::Acquire) != 0)
    }

    /// Says that this process has no descriptor of the session any more. Others may have: a hint to
    /// look whether the socket is hung up.
    pub fn leave(&self) {
        if let Ok(word) = self.word32(self.into.left()) {
            word.store(1, Ordering::Release);
        }
    }

    /// Takes a hint back that another process of this side left.
    #[inline]
    pub fn stay(&self) {
        if let Ok(word) = self.word32(self.into.left())
            && word.load(Ordering::Relaxed) != 0
        {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Whether a process of the peer left, and none of it used the session since.
    #[inline]
    pub fn peer_left(&self) -> bool {
        self.word32(self.out.left()).is_ok_and(|it| it.load(Ordering::Acquire) != 0)
    }

    /// Goes on reading where another process of the same side stopped, one that does not share this
    /// [`Local`](crate::Local). To be called by whoever has the turn to read.
    #[inline]
    pub fn follow_reader(&self) {
        let (Ok(head), Ok(tail)) = (self.word64(self.into.head()), self.seen()) else { return };
        let head = head.load(Ordering::Acquire);
        if head != self.local.head() && self.used(tail, head).is_ok() {
            self.local.set_head(head);
        }
    }

    /// The same for writing.
    #[inline]
    pub fn follow_writer(&self) {
        let (Ok(tail), Ok(head)) = (self.word64(self.out.tail()), self.word64(self.out.head()))
        else {
            return;
        };
        let tail = tail.load(Ordering::Acquire);
        if tail != self.local.tail() {
            let head = head.load(Ordering::Acquire);
            if self.used(tail, head).is_ok() {
                self.local.set_tail(tail);
                self.local.set_peer_head(head);
            }
        }
    }
}
