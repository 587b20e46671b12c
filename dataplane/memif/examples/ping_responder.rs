//! Answers ARP requests and pings for one IPv4 address, from whoever is on the other end of a memif
//! link: the smallest host there is.
//!
//!     ping_responder listen:@lab 192.0.2.1
//!     ping_responder connect:/run/vpp/memif.sock,id=3 192.0.2.1 --mac 02:00:00:00:00:aa
//!
//! It sleeps while nothing arrives. On a machine with VPP or DPDK, let their end ping the address.

mod common;

use std::net::Ipv4Addr;
use std::process::ExitCode;

use common::{ENDPOINT_HELP, Endpoint, Links, Usage, value};
use memif::queue::TxError;
use memif::{Link, RingFault, RxQueue, TxQueue, wait_for_frames};

type Mac = [u8; 6];

/// Frames longer than this are no pings of ours.
const LARGEST: usize = 9216;
const ETHERNET: usize = 14;
const ARP: [u8; 2] = [0x08, 0x06];
const IPV4: [u8; 2] = [0x08, 0x00];
/// Ethernet and IPv4, request (RFC 826).
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
const ICMP: u8 = 1;
const ECHO_REQUEST: u8 = 8;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let usage =
        || Usage(format!("usage: ping_responder ENDPOINT ADDRESS [--mac MAC]\n{ENDPOINT_HELP}"));
    let mut arguments = std::env::args().skip(1);
    let endpoint: Endpoint = arguments.next().ok_or_else(usage)?.parse()?;
    let address: Ipv4Addr = value("ADDRESS", &arguments.next().ok_or_else(usage)?)?;
    let [a, b, c, d] = address.octets();
    let mut host = Host { address, mac: [2, 0, a, b, c, d] };
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => {}
        (Some("--mac"), Some(text)) => host.mac = mac(&text).ok_or_else(usage)?,
        _ => return Err(usage().into()),
    }
    eprintln!("answering for {address}");
    let links = Links::open(endpoint)?;
    while let Some(link) = links.next() {
        let (fault, answered) = serve(link, &host)?;
        eprintln!("{answered} answers; {fault}");
    }
    Ok(())
}

fn mac(text: &str) -> Option<Mac> {
    let bytes: Result<Vec<u8>, _> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
    bytes.ok()?.try_into().ok()
}

/// Answers until the link ends; each receive queue is answered on the transmit queue beside it.
fn serve(mut link: Link, host: &Host) -> std::io::Result<(RingFault, u64)> {
    let Some(mut queues) = link.take_queues() else { return Ok((RingFault::Disconnected, 0)) };
    let mut answered = 0;
    loop {
        let mut idle = true;
        let count = queues.tx.len();
        for (index, rx) in queues.rx.iter_mut().enumerate() {
            match answer(rx, &mut queues.tx[index % count], host) {
                Ok((0, 0)) => {}
                Ok((_, answers)) => {
                    idle = false;
                    answered += answers;
                }
                Err(fault) => {
                    link.disconnect(&fault.to_string());
                    return Ok((fault, answered));
                }
            }
        }
        if idle {
            wait_for_frames(&mut queues.rx, None)?;
        }
    }
}

/// Answers what one queue holds; returns how many frames came and how many were answered.
fn answer(rx: &mut RxQueue, tx: &mut TxQueue, host: &Host) -> Result<(u64, u64), RingFault> {
    let (mut came, mut answers) = (0, 0);
    let mut buffer = [0; LARGEST];
    for frame in rx.batch(64)?.frames() {
        came += 1;
        let length = frame.copy_to(&mut buffer);
        let Some(reply) = host.reply(&mut buffer[..length]) else { continue };
        match tx.push(reply) {
            Ok(()) => answers += 1,
            Err(TxError::Fault(fault)) => return Err(fault),
            // The peer does not read its answers: like any host, drop them.
            Err(_) => {}
        }
    }
    tx.flush()?;
    Ok((came, answers))
}

/// Who answers.
struct Host {
    address: Ipv4Addr,
    mac: Mac,
}

impl Host {
    /// Turns a request into its reply, in place.
    fn reply<'a>(&self, frame: &'a mut [u8]) -> Option<&'a [u8]> {
        let (header, body) = frame.split_at_mut_checked(ETHERNET)?;
        let wanted = match [header[12], header[13]] {
            ARP => self.reply_to_arp(body),
            IPV4 => self.reply_to_ping(body),
            _ => None,
        };
        wanted?;
        header.copy_within(6..12, 0);
        header[6..12].copy_from_slice(&self.mac);
        Some(frame)
    }

    fn reply_to_arp(&self, arp: &mut [u8]) -> Option<()> {
        let arp = arp.get_mut(..28)?;
        if arp[..8] != ARP_REQUEST || arp[24..28] != self.address.octets() {
            return None;
        }
        arp[7] = 2;
        arp.copy_within(8..18, 18);
        arp[8..14].copy_from_slice(&self.mac);
        arp[14..18].copy_from_slice(&self.address.octets());
        Some(())
    }

    /// Swapping the addresses leaves the IP checksum as it is; the ICMP checksum of an echo changes
    /// only by its type (RFC 1624).
    fn reply_to_ping(&self, ip: &mut [u8]) -> Option<()> {
        let header = usize::from(ip.first()? & 0x0f) * 4;
        let fragment = u16::from_be_bytes([*ip.get(6)?, *ip.get(7)?]) & 0x3fff;
        let plain = ip[0] >> 4 == 4 && header >= 20 && fragment == 0 && *ip.get(9)? == ICMP;
        if !plain || *ip.get(16..20)? != self.address.octets() {
            return None;
        }
        let icmp = ip.get_mut(header..)?.get_mut(..8)?;
        if icmp[0] != ECHO_REQUEST {
            return None;
        }
        icmp[0] = 0;
        let (sum, carry) = u16::from_be_bytes([icmp[2], icmp[3]]).overflowing_add(0x0800);
        icmp[2..4].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
        let (source, destination) = ip[12..20].split_at_mut(4);
        source.swap_with_slice(destination);
        Some(())
    }
}
