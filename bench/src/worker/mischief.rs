//! A container that means harm: frames that nobody may send, and more broadcasts than anybody may, at a fixed rate.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use memif::Address;
use memif::queue::TxError;
use serde::{Deserialize, Serialize};

use super::link::connect;
use super::orders::{Meter, tell};
use super::stations::BROADCAST;
use super::stream::{Buffers, frame};
use super::{Report, Tally};
use crate::pace::Pace;

/// Pause between two bursts: a container that never slept would take its neighbours' CPU, which no network driver
/// can help.
const NAP: Duration = Duration::from_millis(1);
/// Slots of the frames: longer than the network's MTU of 1500.
const SLOT: u16 = 4096;
const OVERSIZE: u32 = 3000;
const RUNT: usize = 10;

const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// Who does the harm, and whom it concerns.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Mischief {
    /// Its own addresses.
    pub(crate) mac: [u8; 6],
    pub(crate) ip: Ipv4Addr,
    /// Whom it sends to.
    pub(crate) to: [u8; 6],
    pub(crate) to_ip: Ipv4Addr,
    /// Whom it pretends to be.
    pub(crate) other_mac: [u8; 6],
    pub(crate) other_ip: Ipv4Addr,
    /// Frames a second.
    pub(crate) rate: u64,
}

impl Mischief {
    /// One frame of each kind, to be sent in turn.
    fn frames(&self) -> Vec<Vec<u8>> {
        vec![
            frame(64, self.to, self.other_mac),
            self.datagram(),
            self.arp_answer(),
            self.neighbour_advertisement(),
            frame(64, BROADCAST, self.mac),
            frame(OVERSIZE, self.to, self.mac),
            frame(64, self.to, self.mac)[..RUNT].to_vec(),
        ]
    }

    /// UDP over IPv4 with the other's source address.
    fn datagram(&self) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend(self.other_ip.octets());
        packet.extend(self.to_ip.octets());
        packet.extend([0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0]);
        self.with_header(self.to, IPV4, &packet)
    }

    /// An answer that nobody asked for: the other's IPv4 address is here (RFC 826).
    fn arp_answer(&self) -> Vec<u8> {
        let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 2];
        packet.extend(self.mac);
        packet.extend(self.other_ip.octets());
        packet.extend(self.to);
        packet.extend(self.to_ip.octets());
        self.with_header(self.to, ARP, &packet)
    }

    /// The same for IPv6 (RFC 4861, 4.4), of an address that is no endpoint's.
    fn neighbour_advertisement(&self) -> Vec<u8> {
        let other = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        let mut packet = vec![0x60, 0, 0, 0, 0, 32, 58, 255];
        packet.extend(other);
        packet.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        packet.extend([136, 0, 0, 0, 0x20, 0, 0, 0]);
        packet.extend(other);
        packet.extend([2, 1]);
        packet.extend(self.mac);
        self.with_header([0x33, 0x33, 0, 0, 0, 1], IPV6, &packet)
    }

    fn with_header(&self, to: [u8; 6], ether_type: [u8; 2], packet: &[u8]) -> Vec<u8> {
        [&to[..], &self.mac, &ether_type, packet].concat()
    }
}

/// Sends until told to stop, or keeps the same hours and sends nothing when `quiet`.
pub(super) fn run(socket: &str, mischief: Mischief, quiet: bool) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut queues = connect(&Address::abstract_name(socket)?, 1, SLOT)?;
    let pace =
        Pace::new(mischief.rate).context("a rate is at least 1 and at most 10^9 a second")?;
    let frames = mischief.frames();
    let mut buffers = Buffers::new(OVERSIZE);
    let mut tally = Tally::default();
    let (start, mut due) = (Instant::now(), 0);
    tell(&Report::Linked)?;
    while meter.runs(&tally)? {
        while buffers.receive(&mut queues.rx[0], &mut tally)? {}
        let released = pace.released(u64::try_from(start.elapsed().as_nanos())?);
        for turn in due..released {
            if quiet {
                break;
            }
            let at = usize::try_from(turn % frames.len() as u64)?;
            match queues.tx[0].push(frames[at].as_slice()) {
                Ok(()) => tally.sent += 1,
                Err(TxError::Full) => break,
                Err(error) => return Err(error.into()),
            }
        }
        due = released;
        queues.tx[0].flush()?;
        sleep(NAP);
    }
    meter.finish(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_what_its_name_says() {
        let (mac, to, other_mac) = ([2; 6], [4; 6], [6; 6]);
        let ip = |last| Ipv4Addr::new(198, 18, 0, last);
        let (ip, to_ip, other_ip) = (ip(2), ip(3), ip(4));
        let mischief = Mischief { mac, ip, to, to_ip, other_mac, other_ip, rate: 1 };
        let frames = mischief.frames();
        let lengths: Vec<_> = frames.iter().map(Vec::len).collect();
        assert_eq!(lengths, [64, 42, 42, 86, 64, 3000, 10]);
        assert_eq!((frames[0][..6] == to, frames[0][6..12] == other_mac), (true, true));
        assert_eq!(
            (&frames[1][26..30], &frames[1][30..34]),
            (&other_ip.octets()[..], &to_ip.octets()[..])
        );
        assert_eq!((frames[2][21], &frames[2][28..32]), (2, &other_ip.octets()[..]));
        assert_eq!((frames[3][54], frames[4][..6] == BROADCAST), (136, true));
    }
}
