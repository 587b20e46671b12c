//! What network cards do for a sender, in software: checksums and segmentation.
//!
//! Pure. A frame from a TAP or a peer may leave its checksum to be completed and its payload to be
//! cut into segments; what it asks for stands in a [`VirtioNetHeader`]. Every claim in there is
//! checked against the frame, and a claim that does not hold is a [`BadOffload`].

#![forbid(unsafe_code)]

mod checksum;
mod header;
mod merge;
mod place;
mod segment;
mod uncut;

#[cfg(test)]
mod segment_tests;
#[cfg(test)]
mod test_frames;

pub use checksum::{Sum, checksum, complete_checksum};
pub use header::{BadOffload, Checksum, Segmentation, SegmentationKind, VirtioNetHeader};
pub(crate) use merge::{Merged, Merger};
pub(crate) use place::may_complete;
pub use segment::{Segment, Segmenter};
pub(crate) use uncut::uncut;
