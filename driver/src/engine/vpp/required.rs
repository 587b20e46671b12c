//! The messages of VPP that the engine needs.

use vpp_api_client::Identity;
use vpp_api_client::api::{interface, ip, ip6_nd, l2, memif, pipe, session, vlib, vpe};

/// What endpoints in VPP's host stack need beside [`REQUIRED`], checked when a network asks for it.
pub(super) const FOR_HOSTS: &[Identity] = &[
    Identity::of::<pipe::PipeCreate>(),
    Identity::of::<pipe::PipeDelete>(),
    Identity::of::<session::AppNamespaceAddDelV4>(),
];

/// Checked when the connection is made, so that a VPP with other ones is refused whole. Those for translation
/// are not among them: its plugin may be away.
pub(super) const REQUIRED: &[Identity] = &[
    Identity::of::<interface::CreateLoopback>(),
    Identity::of::<interface::DeleteLoopback>(),
    Identity::of::<interface::SwInterfaceAddDelAddress>(),
    Identity::of::<interface::SwInterfaceDetails>(),
    Identity::of::<interface::SwInterfaceDump>(),
    Identity::of::<interface::SwInterfaceEvent>(),
    Identity::of::<interface::SwInterfaceGetTable>(),
    Identity::of::<interface::SwInterfaceSetFlags>(),
    Identity::of::<interface::SwInterfaceSetMtu>(),
    Identity::of::<interface::SwInterfaceSetTable>(),
    Identity::of::<interface::SwInterfaceTagAddDel>(),
    Identity::of::<interface::WantInterfaceEvents>(),
    Identity::of::<ip6_nd::SwInterfaceIp6ndRaConfig>(),
    Identity::of::<ip::IpAddressDetails>(),
    Identity::of::<ip::IpAddressDump>(),
    Identity::of::<ip::IpRouteAddDel>(),
    Identity::of::<ip::IpRouteLookup>(),
    Identity::of::<ip::IpTableAddDel>(),
    Identity::of::<ip::IpTableAllocate>(),
    Identity::of::<ip::IpTableDetails>(),
    Identity::of::<ip::IpTableDump>(),
    Identity::of::<l2::BridgeDomainAddDelV2>(),
    Identity::of::<l2::BridgeDomainDetails>(),
    Identity::of::<l2::BridgeDomainDump>(),
    Identity::of::<l2::L2FibTableDetails>(),
    Identity::of::<l2::L2FibTableDump>(),
    Identity::of::<l2::L2fibAddDel>(),
    Identity::of::<l2::SwInterfaceSetL2Bridge>(),
    Identity::of::<memif::MemifCreateV2>(),
    Identity::of::<memif::MemifDelete>(),
    Identity::of::<memif::MemifDetails>(),
    Identity::of::<memif::MemifDump>(),
    Identity::of::<memif::MemifSocketFilenameAddDelV2>(),
    Identity::of::<memif::MemifSocketFilenameDetails>(),
    Identity::of::<memif::MemifSocketFilenameDump>(),
    Identity::of::<vlib::CliInband>(),
    Identity::of::<vlib::ShowThreads>(),
    Identity::of::<vpe::ShowVersion>(),
];
