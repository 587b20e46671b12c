//! A frame on its way out.

use memif::queue::Frame;

use super::HEADER;
use crate::offload::VirtioNetHeader;

/// A frame on its way out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outgoing<'a> {
    /// In a sender's shared memory, behind its private first bytes.
    Shared { header: &'a [u8], frame: &'a Frame<'a> },
    /// In private memory, with what it still needs.
    Private { bytes: &'a [u8], offload: VirtioNetHeader },
}

impl Outgoing<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Shared { frame, .. } => frame.len(),
            Self::Private { bytes, .. } => bytes.len(),
        }
    }

    pub(super) fn header(&self) -> &[u8] {
        match self {
            Self::Shared { header, .. } => header,
            Self::Private { bytes, .. } => &bytes[..bytes.len().min(HEADER)],
        }
    }

    /// What of it nobody can change any more: all, or its first bytes.
    #[inline]
    pub(super) fn private(&self) -> &[u8] {
        match self {
            Self::Shared { header, .. } => header,
            Self::Private { bytes, .. } => bytes,
        }
    }

    /// Copies the frame's first bytes, at most `out.len()`; returns how many.
    pub(super) fn copy_to(&self, out: &mut [u8]) -> usize {
        match self {
            Self::Shared { header, frame } => {
                let copied = frame.copy_to(out);
                let fixed = header.len().min(copied);
                out[..fixed].copy_from_slice(&header[..fixed]);
                copied
            }
            Self::Private { bytes, .. } => {
                let count = bytes.len().min(out.len());
                out[..count].copy_from_slice(&bytes[..count]);
                count
            }
        }
    }
}
