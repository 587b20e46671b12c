//! The messages that leave a link to packet sockets (`linux/rtnetlink.h`, `linux/pkt_cls.h`). Pure.

use netlink_packet_core::DefaultNla;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkMessage,
};
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};

/// Has the link make no IPv6 address for itself.
pub(super) fn without_ipv6(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let inet6 = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![inet6]));
    message
}

/// The queueing discipline that filters of arriving frames belong to.
pub(super) fn ingress(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.parent = TcHandle::INGRESS;
    message.header.handle = INGRESS;
    message.attributes.push(TcAttribute::Kind("ingress".to_owned()));
    message
}

/// A filter that drops every frame: a program of one instruction, which needs no module of actions.
pub(super) fn drop_all(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.parent = INGRESS;
    message.header.handle = TcHandle { major: 0, minor: 1 };
    message.header.info = PRIORITY << 16 | u32::from(EVERY_PROTOCOL.to_be());
    let [code_a, code_b] = RETURN.to_ne_bytes();
    let [k0, k1, k2, k3] = SHOT.to_ne_bytes();
    let instruction = vec![code_a, code_b, 0, 0, k0, k1, k2, k3];
    let option =
        |kind, value| TcOption::Bpf(TcFilterBpfOption::Other(DefaultNla::new(kind, value)));
    message.attributes.extend([
        TcAttribute::Kind(TcFilterBpf::KIND.to_owned()),
        TcAttribute::Options(vec![
            option(TCA_BPF_OPS_LEN, 1u16.to_ne_bytes().to_vec()),
            option(TCA_BPF_OPS, instruction),
            TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
        ]),
    ]);
    message
}

/// `ffff:`
const INGRESS: TcHandle = TcHandle { major: 0xffff, minor: 0 };
const PRIORITY: u32 = 1;
/// `ETH_P_ALL`
const EVERY_PROTOCOL: u16 = 3;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;
/// `BPF_RET | BPF_K`: of `struct sock_filter` the code, no jumps, and the value.
const RETURN: u16 = 6;
/// `TC_ACT_SHOT`
const SHOT: u32 = 2;

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    fn bytes(message: &impl Emitable) -> Vec<u8> {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    /// As `tc filter replace dev X parent ffff: protocol all prio 1 handle 1 bpf da bytecode "1,6 0 0 2"` says it.
    #[cfg(target_endian = "little")]
    #[test]
    fn the_filter_is_one_instruction_that_drops() {
        let expected = [
            &[0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 3, 1, 0][..],
            &[8, 0, 1, 0, b'b', b'p', b'f', 0],
            &[32, 0, 2, 0],
            &[6, 0, 4, 0, 1, 0, 0, 0],
            &[12, 0, 5, 0, 6, 0, 0, 0, 2, 0, 0, 0],
            &[8, 0, 8, 0, 1, 0, 0, 0],
        ];
        assert_eq!(bytes(&drop_all(7)), expected.concat());
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_discipline_is_where_frames_arrive() {
        let expected = [
            &[0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0xff, 0xff, 0xf1, 0xff, 0xff, 0xff, 0, 0, 0, 0][..],
            &[12, 0, 1, 0, b'i', b'n', b'g', b'r', b'e', b's', b's', 0],
        ];
        assert_eq!(bytes(&ingress(7)), expected.concat());
    }
}
