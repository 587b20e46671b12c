//! A message of a packet socket, taken apart: header, frame, and the VLAN tag that the kernel took out of it.
//! Pure.

use crate::messages::Control;
use crate::offload::{BadOffload, Checksum, VirtioNetHeader};

/// Bytes of the header in front of a frame.
pub(super) const HEADER: usize = VirtioNetHeader::SHORT_LEN;
/// Bytes of a VLAN tag.
const TAG: u16 = 4;
/// Destination and source of a frame, behind which its tag stands.
const ADDRESSES: usize = 12;

/// The tag that was taken out of a frame, as it stands in one, from the `struct tpacket_auxdata` beside it.
fn tag(control: &Control) -> Option<[u8; TAG as usize]> {
    let data = control.data(SOL_PACKET, PACKET_AUXDATA)?;
    let status = word(data, 0)?;
    if status & TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let half = |at: usize| data.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
    // Kernels before 3.14 say no type.
    let kind = if status & TP_STATUS_VLAN_TPID_VALID != 0 { half(18)? } else { 0x8100 };
    let ([a, b], [c, d]) = (kind.to_be_bytes(), half(16)?.to_be_bytes());
    Some([a, b, c, d])
}

const SOL_PACKET: i32 = 263;
const PACKET_AUXDATA: i32 = 8;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Header and frame of a message of `length` bytes, of which the buffer has what found room.
pub(super) fn unpack<'a>(
    buffer: &'a mut [u8],
    length: usize,
    control: &Control,
) -> (Result<VirtioNetHeader, BadOffload>, &'a mut [u8]) {
    if length > buffer.len() {
        return (Err(BadOffload::Truncated(length - HEADER)), &mut buffer[HEADER..]);
    }
    let message = &mut buffer[..length];
    let header = VirtioNetHeader::parse(message);
    if length < HEADER + ADDRESSES {
        return (header, message.get_mut(HEADER..).unwrap_or_default());
    }
    let Some(tag) = tag(control) else { return (header, &mut message[HEADER..]) };
    // The addresses move over the end of the header, which has been read.
    let frame = &mut message[HEADER - usize::from(TAG)..];
    frame.copy_within(usize::from(TAG)..usize::from(TAG) + ADDRESSES, 0);
    frame[ADDRESSES..ADDRESSES + usize::from(TAG)].copy_from_slice(&tag);
    (header.and_then(behind_tag), frame)
}

/// The header of a frame that has got a tag.
fn behind_tag(header: VirtioNetHeader) -> Result<VirtioNetHeader, BadOffload> {
    let Checksum::Partial { start, offset } = header.checksum else { return Ok(header) };
    let start = start.checked_add(TAG).ok_or(BadOffload::ChecksumRange)?;
    Ok(VirtioNetHeader { checksum: Checksum::Partial { start, offset }, ..header })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a kernel of this machine writes it.
    fn control(status: u32, tci: u16, kind: u16) -> Control {
        let parts =
            [&status.to_ne_bytes()[..], &[0; 12], &tci.to_ne_bytes(), &kind.to_ne_bytes()].concat();
        Control::of(SOL_PACKET, PACKET_AUXDATA, &parts)
    }

    fn message(header: VirtioNetHeader, frame: &[u8]) -> Vec<u8> {
        [&header.encode()[..HEADER], frame].concat()
    }

    #[test]
    fn the_tag_is_told_by_its_status() {
        let user = 1;
        let valid = TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID | user;
        assert_eq!(tag(&control(valid, 5, 0x8100)), Some([0x81, 0, 0, 5]));
        assert_eq!(tag(&control(valid, 0x2fff, 0x88a8)), Some([0x88, 0xa8, 0x2f, 0xff]));
        assert_eq!(tag(&control(TP_STATUS_VLAN_VALID, 7, 0)), Some([0x81, 0, 0, 7]));
        assert_eq!(tag(&control(user, 5, 0x8100)), None);
        assert_eq!(tag(&Control::EMPTY), None);
    }

    #[test]
    fn a_tag_is_put_back_and_the_checksum_moves_with_it() {
        let partial = Checksum::Partial { start: 34, offset: 16 };
        let header = VirtioNetHeader { checksum: partial, segmentation: None };
        let mut bytes = message(header, b"ddddddssssss\x08\x00payload");
        let length = bytes.len();
        let (header, frame) = unpack(&mut bytes, length, &control(0x51, 5, 0x8100));
        assert_eq!(frame, b"ddddddssssss\x81\x00\x00\x05\x08\x00payload");
        assert_eq!(header.unwrap().checksum, Checksum::Partial { start: 38, offset: 16 });
    }

    #[test]
    fn what_found_no_room_is_said_so() {
        let mut bytes = message(VirtioNetHeader::PLAIN, &[0; 60]);
        let (header, _) = unpack(&mut bytes, 200_010, &Control::EMPTY);
        assert_eq!(header, Err(BadOffload::Truncated(200_000)));
    }

    proptest! {
        #[test]
        fn a_frame_without_a_tag_is_what_was_sent(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = message(VirtioNetHeader::PLAIN, &frame);
            let length = bytes.len();
            let (header, got) = unpack(&mut bytes, length, &Control::EMPTY);
            prop_assert_eq!(header, Ok(VirtioNetHeader::PLAIN));
            prop_assert_eq!(&*got, &frame[..]);
        }

        #[test]
        fn taking_the_tag_out_again_gives_the_frame(
            frame in proptest::collection::vec(any::<u8>(), 12..200), tci: u16,
        ) {
            let mut bytes = message(VirtioNetHeader::PLAIN, &frame);
            let length = bytes.len();
            let (_, got) = unpack(&mut bytes, length, &control(0x51, tci, 0x8100));
            prop_assert_eq!(&got[12..16], &[0x81, 0, tci.to_be_bytes()[0], tci.to_be_bytes()[1]]);
            let without = [&got[..12], &got[16..]].concat();
            prop_assert_eq!(without, frame);
        }

        #[test]
        fn any_bytes_are_taken_apart_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 10..64),
            beside in proptest::collection::vec(any::<u8>(), 0..24), length in 0usize..100,
        ) {
            let control = Control::of(SOL_PACKET, PACKET_AUXDATA, &beside);
            let _ = unpack(&mut bytes, length, &control);
        }
    }
}
