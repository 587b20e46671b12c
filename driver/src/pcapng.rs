//! Writes pcapng: one section, an interface for each port, a block for each frame.
//!
//! Pure: bytes into a buffer. The format is draft-ietf-opsawg-pcapng; values are little-endian,
//! which the byte-order magic says. Timestamps count nanoseconds. A reader of libpcap's needs an
//! interface before anything else and one snap length for all.

use std::time::{SystemTime, UNIX_EPOCH};

use dataplane::control::Direction;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const LINKTYPE_ETHERNET: u16 = 1;

const OPT_END: u16 = 0;
const SHB_OS: u16 = 3;
const SHB_APPLICATION: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const ISB_END_TIME: u16 = 3;
const ISB_RECEIVED: u16 = 4;
const ISB_DROPPED: u16 = 5;

/// An interface of the section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceId(u32);

/// A section that is being written.
#[derive(Debug)]
pub struct Writer {
    buffer: Vec<u8>,
    snap_length: u32,
    interfaces: u32,
}

impl Writer {
    /// Begins a section whose frames are cut to `snap_length` bytes.
    pub fn new(application: &str, snap_length: u32) -> Self {
        let mut writer = Self { buffer: Vec::new(), snap_length, interfaces: 0 };
        writer.block(SECTION_HEADER, |body| {
            body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
            body.extend(1_u16.to_le_bytes());
            body.extend(0_u16.to_le_bytes());
            body.extend(u64::MAX.to_le_bytes());
            option(body, SHB_OS, b"Linux");
            option(body, SHB_APPLICATION, application.as_bytes());
            option(body, OPT_END, &[]);
        });
        writer
    }

    /// Adds an interface.
    pub fn interface(&mut self, name: &str, description: &str) -> InterfaceId {
        let snap_length = self.snap_length;
        self.block(INTERFACE_DESCRIPTION, |body| {
            body.extend(LINKTYPE_ETHERNET.to_le_bytes());
            body.extend(0_u16.to_le_bytes());
            body.extend(snap_length.to_le_bytes());
            option(body, IF_NAME, name.as_bytes());
            option(body, IF_DESCRIPTION, description.as_bytes());
            option(body, IF_TSRESOL, &[9]);
            option(body, OPT_END, &[]);
        });
        let id = InterfaceId(self.interfaces);
        self.interfaces += 1;
        id
    }

    /// Adds a frame of `length` bytes, of which `data` was kept.
    pub fn frame(
        &mut self,
        interface: InterfaceId,
        time: SystemTime,
        direction: Direction,
        length: u32,
        data: &[u8],
    ) {
        let kept = u32::try_from(data.len()).unwrap_or(u32::MAX).min(self.snap_length);
        let data = &data[..kept as usize];
        let flags: u32 = match direction {
            Direction::Ingress => 1,
            Direction::Egress => 2,
        };
        self.block(ENHANCED_PACKET, |body| {
            body.extend(interface.0.to_le_bytes());
            timestamp(body, time);
            body.extend(kept.to_le_bytes());
            body.extend(length.max(kept).to_le_bytes());
            body.extend(data);
            pad(body);
            option(body, EPB_FLAGS, &flags.to_le_bytes());
            option(body, OPT_END, &[]);
        });
    }

    /// Adds the final count of an interface.
    pub fn statistics(
        &mut self,
        interface: InterfaceId,
        time: SystemTime,
        received: u64,
        dropped: u64,
    ) {
        self.block(INTERFACE_STATISTICS, |body| {
            body.extend(interface.0.to_le_bytes());
            timestamp(body, time);
            let mut end_time = Vec::with_capacity(8);
            timestamp(&mut end_time, time);
            option(body, ISB_END_TIME, &end_time);
            option(body, ISB_RECEIVED, &received.to_le_bytes());
            option(body, ISB_DROPPED, &dropped.to_le_bytes());
            option(body, OPT_END, &[]);
        });
    }

    /// Bytes written and not taken yet.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Takes the bytes written so far, which end with a whole block.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buffer.len();
        self.buffer.extend(kind.to_le_bytes());
        self.buffer.extend([0; 4]);
        body(&mut self.buffer);
        let length = u32::try_from(self.buffer.len() - start + 4)
            .expect("a block holds at most one frame and a few short texts");
        self.buffer.extend(length.to_le_bytes());
        self.buffer[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    }
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    body.extend(code.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(&value[..length as usize]);
    pad(body);
}

/// Blocks and options begin at multiples of four bytes.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Two words, the high one first. Times before 1970 become 1970.
fn timestamp(body: &mut Vec<u8>, time: SystemTime) {
    let nanoseconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let nanoseconds = u64::try_from(nanoseconds).unwrap_or(u64::MAX);
    let [low, high] = [nanoseconds & u64::from(u32::MAX), nanoseconds >> 32];
    for word in [high, low] {
        body.extend(u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Kinds and bodies of the blocks in a file.
    fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word =
            |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let length = word(bytes, 4) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(word(bytes, length - 4) as usize, length);
            found.push((word(bytes, 0), bytes[8..length - 4].to_vec()));
            bytes = &bytes[length..];
        }
        found
    }

    #[test]
    fn a_frame_byte_by_byte() {
        let mut writer = Writer::new("test", 64);
        let interface = writer.interface("eth0", "an endpoint");
        writer.take();
        let time = UNIX_EPOCH + Duration::new(4, 294_967_301);
        writer.frame(interface, time, Direction::Egress, 100, &[1, 2, 3, 4, 5]);
        let expected: Vec<u8> = [
            6_u32,
            52,
            0,
            1,
            5,
            5,
            100,
            0x0403_0201,
            5, // five bytes and three of padding
            0x0004_0002,
            2,
            0,
            52,
        ]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
        assert_eq!(writer.take(), expected);
    }

    proptest! {
        #[test]
        fn every_file_is_a_chain_of_whole_blocks(
            name in ".{0,40}",
            frames in proptest::collection::vec((0u32..70_000, proptest::collection::vec(any::<u8>(), 0..200)), 0..20),
        ) {
            let mut writer = Writer::new("test", 128);
            let interface = writer.interface(&name, "");
            for (length, data) in &frames {
                writer.frame(interface, SystemTime::now(), Direction::Ingress, *length, data);
            }
            writer.statistics(interface, SystemTime::now(), frames.len() as u64, 0);
            let blocks = blocks(&writer.take());
            prop_assert_eq!(blocks.len(), frames.len() + 3);
            for ((_, body), (_, data)) in blocks[2..].iter().zip(&frames) {
                let kept = data.len().min(128);
                prop_assert_eq!(&body[20..20 + kept], &data[..kept]);
            }
        }
    }
}
