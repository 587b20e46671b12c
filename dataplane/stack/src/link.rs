//! Where frames go out.

use dataplane::offload::VirtioNetHeader;
use dataplane::stack_port::{StackPort, Tag};

/// What a stack sends through: a port of a bridge domain, or a wire of a test.
pub trait Link {
    /// How many frames would be taken.
    fn room(&self) -> usize;

    /// Whether a frame would be taken.
    #[inline]
    fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Sends a frame of `len` bytes that `fill` writes, together with what is left undone in it. Calls
    /// `fill` in any case; answers its result and whether the frame was taken. Each frame that was taken
    /// brings its tag back.
    fn send<R>(
        &mut self,
        len: usize,
        tag: Tag,
        fill: impl FnOnce(&mut [u8]) -> (VirtioNetHeader, R),
    ) -> (R, bool);

    /// The tag of a frame that has reached its destination or was given up.
    fn gone(&mut self) -> Option<Tag>;
}

impl Link for StackPort {
    #[inline]
    fn room(&self) -> usize {
        StackPort::room(self)
    }

    #[inline]
    fn send<R>(
        &mut self,
        len: usize,
        tag: Tag,
        fill: impl FnOnce(&mut [u8]) -> (VirtioNetHeader, R),
    ) -> (R, bool) {
        let mut frame = self.new_frame(len);
        let (offload, result) = fill(frame.bytes_mut());
        frame.offload = offload;
        match StackPort::send(self, frame, tag) {
            Ok(()) => (result, true),
            Err(frame) => {
                self.discard(frame);
                (result, false)
            }
        }
    }

    #[inline]
    fn gone(&mut self) -> Option<Tag> {
        StackPort::gone(self)
    }
}
