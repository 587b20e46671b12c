//! Frames of VPP's API socket: 16 bytes of header, of which only the length means something to a peer,
//! then the message. (VPP 26.06, `src/vlibapi/api_common.h`: `msgbuf_t`.) Pure.

/// Size of the header, in bytes.
const HEADER: usize = 16;
/// Where the length is in the header: a big-endian number of 32 bits.
const LENGTH_AT: usize = 8;

/// The frame of `message`.
pub(crate) fn frame(message: &[u8]) -> Result<Vec<u8>, FrameError> {
    let length = u32::try_from(message.len());
    let length = length.map_err(|_| FrameError::Length(message.len()))?;
    let mut frame = Vec::with_capacity(HEADER + message.len());
    frame.extend_from_slice(&[0; HEADER]);
    frame[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    Ok(frame)
}

/// A received stream cannot be cut into messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message has a length that no message of the API has.
    #[error("a message of {0} bytes was announced, which no message of the API has")]
    Length(usize),
}

/// Cuts a stream into messages.
#[derive(Debug)]
pub(crate) struct Deframer {
    bytes: Vec<u8>,
    /// How many bytes at the front were given out.
    taken: usize,
    /// Length of the longest message that is believed, in bytes.
    longest: usize,
}

impl Deframer {
    pub(crate) fn new(longest: usize) -> Self {
        Self { bytes: Vec::new(), taken: 0, longest }
    }

    /// Where received bytes are appended.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        &mut self.bytes
    }

    /// Length of the next message, if all of it is here. Every message has at least its number: two
    /// bytes.
    pub(crate) fn whole(&self) -> Result<Option<usize>, FrameError> {
        let rest = &self.bytes[self.taken..];
        let Some(header) = rest.first_chunk::<HEADER>() else { return Ok(None) };
        let [.., a, b, c, d, _, _, _, _] = *header;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length < 2 || length > self.longest {
            return Err(FrameError::Length(length));
        }
        Ok((rest.len() >= HEADER + length).then_some(length))
    }

    /// The next message, of the length that [`whole`](Self::whole) said.
    pub(crate) fn take(&mut self, length: usize) -> &[u8] {
        let start = self.taken + HEADER;
        self.taken = start + length;
        &self.bytes[start..self.taken]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_that_no_message_has_are_refused() {
        for length in [0_u32, 1, 101, u32::MAX] {
            let mut stream = Deframer::new(100);
            let mut header = [0; HEADER];
            header[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
            stream.room().extend_from_slice(&header);
            assert_eq!(stream.whole(), Err(FrameError::Length(length as usize)));
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 2..40), 0..20),
            piece in 1_usize..50,
        ) {
            let bytes: Vec<u8> =
                messages.iter().flat_map(|it| frame(it).expect("short")).collect();
            let mut stream = Deframer::new(40);
            let mut seen = Vec::new();
            for part in bytes.chunks(piece) {
                stream.room().extend_from_slice(part);
                while let Some(length) = stream.whole().expect("sound") {
                    seen.push(stream.take(length).to_vec());
                }
            }
            prop_assert_eq!(seen, messages);
        }
    }
}
