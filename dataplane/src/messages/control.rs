//! One control message beside a message (cmsg(3)). Pure.

#![forbid(unsafe_code)]

/// Bytes of `struct cmsghdr`: its length with what follows, level and type.
const HEADER: usize = size_of::<usize>() + 8;
/// Bytes of the longest that anybody asks for, `struct tpacket_auxdata`, aligned.
const DATA: usize = 24;

/// Room for one control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub(crate) struct Control([u8; HEADER + DATA]);

impl Control {
    /// None.
    pub(crate) const EMPTY: Self = Self([0; HEADER + DATA]);
    /// Bytes of the room.
    pub(super) const LEN: usize = HEADER + DATA;

    /// One; what of `data` is beyond the room is left out.
    pub(crate) fn of(level: i32, kind: i32, data: &[u8]) -> Self {
        let mut control = Self::EMPTY;
        let data = &data[..data.len().min(DATA)];
        let (length, rest) = control.0.split_at_mut(size_of::<usize>());
        length.copy_from_slice(&(HEADER + data.len()).to_ne_bytes());
        rest[..4].copy_from_slice(&level.to_ne_bytes());
        rest[4..8].copy_from_slice(&kind.to_ne_bytes());
        rest[8..8 + data.len()].copy_from_slice(data);
        control
    }

    /// What it says, if it is there and of this kind.
    pub(crate) fn data(&self, level: i32, kind: i32) -> Option<&[u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::from_ne_bytes(*length);
        let word = |at: usize| rest[at..].first_chunk().map(|it| i32::from_ne_bytes(*it));
        let is_it = word(0) == Some(level) && word(4) == Some(kind);
        self.0.get(HEADER..length).filter(|_| is_it)
    }

    /// Bytes of it, header included.
    pub(super) fn length(&self) -> usize {
        self.0.first_chunk().map_or(0, |it| usize::from_ne_bytes(*it)).min(Self::LEN)
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_by_its_kind_alone() {
        let control = Control::of(17, 103, &1200_u16.to_ne_bytes());
        assert_eq!(control.data(17, 103), Some(&1200_u16.to_ne_bytes()[..]));
        assert_eq!(control.length(), HEADER + 2);
        assert_eq!((control.data(17, 104), control.data(263, 103)), (None, None));
        assert_eq!(Control::EMPTY.data(0, 0), None);
    }

    #[test]
    fn lengths_that_make_no_sense_are_none() {
        for length in [0, HEADER - 1, HEADER + DATA + 1, usize::MAX] {
            let mut control = Control::of(17, 104, &[1, 2]);
            control.0[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(control.data(17, 104), None, "{length}");
            assert!(control.length() <= Control::LEN);
        }
    }
}
