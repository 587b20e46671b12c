//! A frame on its way out.

use memif::queue::Frame;
use shm::{Mapping, Payload};

use super::HEADER;
use crate::offload::VirtioNetHeader;

/// A frame on its way out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outgoing<'a> {
    /// In a sender's shared memory, behind its private first bytes.
    Shared { header: &'a [u8], frame: &'a Frame<'a> },
    /// The same in the memory of a vhost-user front end; complete.
    Guest { header: &'a [u8], frame: &'a vhost_user_net::Frame<'a> },
    /// In private memory, with what it still needs.
    Private { bytes: &'a [u8], offload: VirtioNetHeader },
}

impl Outgoing<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Shared { frame, .. } => frame.len(),
            Self::Guest { frame, .. } => frame.len(),
            Self::Private { bytes, .. } => bytes.len(),
        }
    }

    pub(super) fn header(&self) -> &[u8] {
        match self {
            Self::Shared { header, .. } | Self::Guest { header, .. } => header,
            Self::Private { bytes, .. } => &bytes[..bytes.len().min(HEADER)],
        }
    }

    /// What of it nobody can change any more: all, or its first bytes.
    #[inline]
    pub(super) fn private(&self) -> &[u8] {
        match self {
            Self::Shared { header, .. } | Self::Guest { header, .. } => header,
            Self::Private { bytes, .. } => bytes,
        }
    }

    /// What is left undone.
    pub(super) fn offload(&self) -> VirtioNetHeader {
        match self {
            Self::Shared { .. } | Self::Guest { .. } => VirtioNetHeader::PLAIN,
            Self::Private { offload, .. } => *offload,
        }
    }

    /// Copies the frame's first bytes, at most `out.len()`; returns how many.
    pub(super) fn copy_to(&self, out: &mut [u8]) -> usize {
        match self {
            Self::Shared { header, frame } => behind(header, frame.copy_to(out), out),
            Self::Guest { header, frame } => behind(header, frame.copy_to(out), out),
            Self::Private { bytes, .. } => {
                let count = bytes.len().min(out.len());
                out[..count].copy_from_slice(&bytes[..count]);
                count
            }
        }
    }
}

/// Puts the header that was decided on over the beginning of a copy of `copied` bytes.
fn behind(header: &[u8], copied: usize, out: &mut [u8]) -> usize {
    let fixed = header.len().min(copied);
    out[..fixed].copy_from_slice(&header[..fixed]);
    copied
}

/// A frame of shared memory whose first bytes were copied and decided on: those bytes are sent as they were
/// decided on, the rest goes straight from the sender's memory to the receiver's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decided<'a, F> {
    pub(super) header: &'a [u8],
    pub(super) frame: &'a F,
}

impl<F: Payload> Payload for Decided<'_, F> {
    #[inline]
    fn payload_len(&self) -> usize {
        self.frame.payload_len()
    }

    #[inline]
    fn copy_part(&self, offset: usize, target: &Mapping, target_offset: usize, length: usize) {
        let fixed = self.header.len().saturating_sub(offset).min(length);
        if fixed > 0 {
            self.header.copy_part(offset, target, target_offset, fixed);
        }
        if length > fixed {
            self.frame.copy_part(offset + fixed, target, target_offset + fixed, length - fixed);
        }
    }
}
