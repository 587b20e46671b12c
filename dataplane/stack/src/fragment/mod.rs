//! IP fragments (RFC 791, RFC 8200, 4.5): cutting packets that are longer than a network takes, and putting
//! those of others together. Pure.
//!
//! * `cut`: a packet into fragments; `identification`: what tells the fragments of one packet from others.
//! * `reassembly`: fragments into packets, within bounds of memory and time.

mod cut;
mod identification;
mod reassembly;

#[cfg(test)]
mod tests;

pub(crate) use cut::Cut;
pub(crate) use identification::Identifications;
pub(crate) use reassembly::{Fragment, Reassembly};

/// Offsets of fragments count in units of so many bytes.
const UNIT: usize = 8;
/// Length of the fragment header of IPv6 (RFC 8200, 4.5).
const HEADER6_LEN: usize = 8;
/// Its number as a protocol.
const FRAGMENT6: u8 = 44;
/// "More fragments" and the offset in the IPv4 header (RFC 791, 3.1).
const MORE4: u16 = 0x2000;
const OFFSET4: u16 = 0x1fff;
/// The longest packet of either version without its IPv6 header.
const LONGEST: usize = 65_535;
