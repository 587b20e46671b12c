//! Shared memory of a link: what the client makes and what the server maps.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::EventfdFlags;
use shm::memfd::{self, Sealing, Unfit};
use shm::{Mapping, OutOfBounds};

pub use crate::layout::ClientLayout;
use crate::parameters::{Limits, RegionPolicy, RegionSpec, RingSpec, SharedSpec};
use crate::queue::{LinkState, OwnBuffers, Regions, RxQueue, Side, TxQueue};
use crate::ring::Ring;

/// Why shared memory was refused, or could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The client's layout has no rings in one direction, or needs more than 4 GiB.
    #[error(
        "a layout of {rings} rings and {bytes} bytes; each direction needs a ring, and a region has at most 4 GiB"
    )]
    Layout {
        /// Rings in both directions.
        rings: u32,
        /// Bytes needed.
        bytes: u64,
    },
    /// A region cannot be used.
    #[error("region {index}: {source}")]
    Unfit {
        /// Its index.
        index: usize,
        /// The objection.
        source: Unfit,
    },
    /// More or larger regions or rings than allowed.
    #[error("{what}: {found}, at most {limit} are accepted")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much is accepted.
        limit: u64,
    },
    /// A ring is in no region, or not inside it.
    #[error("ring {index} is not inside a region")]
    RingPlace {
        /// Its index, counted over both directions.
        index: usize,
    },
    /// A ring was not initialised.
    #[error("ring {index} has no cookie")]
    Cookie {
        /// Its index, counted over both directions.
        index: usize,
    },
    /// A ring's descriptor for interrupts is no eventfd.
    #[error("ring {index}: its interrupt descriptor is no eventfd")]
    NotEventfd {
        /// Its index, counted over both directions.
        index: usize,
    },
}

/// The queues of one link, ready for traffic.
#[derive(Debug)]
pub struct Queues {
    /// To the peer.
    pub tx: Vec<TxQueue>,
    /// From the peer.
    pub rx: Vec<RxQueue>,
    /// Shared by all of them: closing it makes every later call return `Disconnected`.
    pub state: Arc<LinkState>,
}

/// A client's own region, rings and eventfds, before the server answered.
#[derive(Debug)]
pub struct ClientMemory {
    layout: ClientLayout,
    fd: OwnedFd,
    mapping: Mapping,
    interrupts: Vec<OwnedFd>,
}

impl ClientMemory {
    /// Allocates one sealed region with all rings and buffers, all of its pages present, and one
    /// eventfd for each ring.
    ///
    /// # Errors
    /// [`RegionError::Layout`] or [`RegionError::System`].
    pub fn create(layout: ClientLayout) -> Result<Self, RegionError> {
        let bytes = layout.region_bytes();
        let refuse = RegionError::Layout { rings: layout.rings(), bytes };
        if layout.client_to_server == 0 || layout.server_to_client == 0 || bytes > 1 << 32 {
            return Err(refuse);
        }
        let Ok(len) = usize::try_from(bytes) else { return Err(refuse) };
        let fd = memfd::create_sealed("memif", bytes).map_err(system("memfd of the region"))?;
        let mapping = Mapping::map(fd.as_fd(), len).map_err(system("mmap of the region"))?;
        mapping.populate().map_err(system("memory for the region"))?;
        let interrupts = (0..layout.rings())
            .map(|_| rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK))
            .collect::<Result<_, _>>()
            .map_err(system("eventfd of a ring"))?;
        let memory = Self { layout, fd, mapping, interrupts };
        for index in 0..layout.rings() {
            memory.ring(index)?.initialise();
        }
        Ok(memory)
    }

    /// Duplicates of the descriptors, to be sent to the server.
    ///
    /// # Errors
    /// [`RegionError::System`] when descriptors run out.
    pub fn share(&self) -> Result<SharedSpec<OwnedFd>, RegionError> {
        let clone = |fd: &OwnedFd| {
            fd.try_clone()
                .map_err(|source| RegionError::System { what: "dup of a descriptor", source })
        };
        let ring = |index: u32| {
            Ok(RingSpec {
                region: 0,
                offset: offset_u32(self.layout.ring_offset(index)),
                size: self.layout.ring_size,
                private_header_size: 0,
                interrupt: clone(&self.interrupts[index as usize])?,
            })
        };
        let outgoing = u32::from(self.layout.client_to_server);
        Ok(SharedSpec {
            regions: vec![RegionSpec { size: self.layout.region_bytes(), fd: clone(&self.fd)? }],
            client_to_server: (0..outgoing).map(ring).collect::<Result<_, _>>()?,
            server_to_client: (outgoing..self.layout.rings())
                .map(ring)
                .collect::<Result<_, _>>()?,
        })
    }

    /// The queues. Call it when CONNECTED arrived and not before: servers zero the indices on
    /// CONNECT. All receive queues start polling ([`RxQueue::arm`] asks for interrupts).
    ///
    /// # Errors
    /// [`RegionError`]; not for memory made by [`ClientMemory::create`].
    pub fn into_queues(mut self) -> Result<Queues, RegionError> {
        let state = Arc::new(LinkState::new());
        let regions: Regions = Arc::from([self.mapping.clone()]);
        let outgoing = u32::from(self.layout.client_to_server);
        let (mut tx, mut rx) = (Vec::new(), Vec::new());
        for (index, interrupt) in (0..).zip(std::mem::take(&mut self.interrupts)) {
            let ring = self.ring(index)?;
            ring.reset_indices();
            let side = Side::Client(self.buffers(index));
            let (regions, state) = (Arc::clone(&regions), Arc::clone(&state));
            if index < outgoing {
                tx.push(TxQueue::new(ring, side, regions, interrupt, state));
            } else {
                shm::signal::disarm(&ring.flags);
                rx.push(RxQueue::new(ring, side, regions, interrupt, state));
            }
        }
        Ok(Queues { tx, rx, state })
    }

    fn ring(&self, index: u32) -> Result<Ring, RegionError> {
        let offset = offset_u32(self.layout.ring_offset(index)) as usize;
        let misplaced = |_: OutOfBounds| RegionError::RingPlace { index: index as usize };
        Ring::at(&self.mapping, offset, self.layout.ring_size).map_err(misplaced)
    }

    fn buffers(&self, index: u32) -> OwnBuffers {
        OwnBuffers {
            base: offset_u32(self.layout.buffers_offset(index)),
            stride: offset_u32(self.layout.stride()),
            capacity: u32::from(self.layout.buffer_size.bytes()),
            mask: self.layout.ring_size.slots() - 1,
        }
    }
}

/// Maps what a client announced and makes the server's queues of it: receive queues poll, indices are
/// zero. Nothing is published before the caller sends CONNECTED.
///
/// # Errors
/// [`RegionError`] with the first objection; every descriptor is closed then.
pub fn server_queues(
    shared: SharedSpec<OwnedFd>,
    policy: RegionPolicy,
    limits: &Limits,
) -> Result<Queues, RegionError> {
    check_limits(&shared, limits)?;
    let with_rings: Vec<u16> = shared
        .client_to_server
        .iter()
        .chain(&shared.server_to_client)
        .map(|ring| ring.region)
        .collect();
    let mut regions = Vec::with_capacity(shared.regions.len());
    for (index, region) in shared.regions.iter().enumerate() {
        let holds_rings = with_rings.iter().any(|&ring| usize::from(ring) == index);
        let sealing = match policy {
            RegionPolicy::Trusted if !holds_rings => Sealing::Optional,
            RegionPolicy::Trusted | RegionPolicy::Sealed => Sealing::Required,
        };
        regions.push(map_region(index, region, sealing)?);
    }
    let regions: Regions = regions.into();
    let state = Arc::new(LinkState::new());
    let queue = |index: usize, spec: RingSpec<OwnedFd>| {
        let ring = peer_ring(&regions, index, &spec)?;
        if !is_eventfd(&spec.interrupt) {
            return Err(RegionError::NotEventfd { index });
        }
        Ok((ring, Arc::clone(&regions), spec.interrupt, Arc::clone(&state)))
    };
    let (mut tx, mut rx) = (Vec::new(), Vec::new());
    let first_outgoing = shared.client_to_server.len();
    for (index, spec) in shared.client_to_server.into_iter().enumerate() {
        let (ring, regions, interrupt, state) = queue(index, spec)?;
        ring.reset_indices();
        // Written outright, not merged: a gomemif client leaves the receiver's bit set.
        ring.flags.store_relaxed(shm::signal::MASK_INTERRUPT);
        rx.push(RxQueue::new(ring, Side::Server, regions, interrupt, state));
    }
    for (index, spec) in shared.server_to_client.into_iter().enumerate() {
        let (ring, regions, interrupt, state) = queue(first_outgoing + index, spec)?;
        ring.reset_indices();
        tx.push(TxQueue::new(ring, Side::Server, regions, interrupt, state));
    }
    Ok(Queues { tx, rx, state })
}

fn check_limits(shared: &SharedSpec<OwnedFd>, limits: &Limits) -> Result<(), RegionError> {
    let total = shared.regions.iter().fold(0u64, |sum, region| sum.saturating_add(region.size));
    let largest = shared.regions.iter().map(|region| region.size).max().unwrap_or(0);
    let rings = shared.client_to_server.len().max(shared.server_to_client.len());
    for (what, found, limit) in [
        ("regions", shared.regions.len() as u64, u64::from(limits.regions)),
        ("rings in one direction", rings as u64, u64::from(limits.rings)),
        ("bytes in one region", largest, limits.region_bytes),
        ("bytes in all regions", total, limits.total_bytes),
    ] {
        if found > limit {
            return Err(RegionError::Limit { what, found, limit });
        }
    }
    Ok(())
}

fn map_region(
    index: usize,
    region: &RegionSpec<OwnedFd>,
    sealing: Sealing,
) -> Result<Mapping, RegionError> {
    let unfit = |source| RegionError::Unfit { index, source };
    memfd::judge(region.fd.as_fd(), region.size, sealing).map_err(unfit)?;
    let len = usize::try_from(region.size).unwrap_or(usize::MAX);
    Mapping::map(region.fd.as_fd(), len).map_err(system("mmap of a region"))
}

fn peer_ring(
    regions: &[Mapping],
    index: usize,
    spec: &RingSpec<OwnedFd>,
) -> Result<Ring, RegionError> {
    let region = regions.get(usize::from(spec.region)).ok_or(RegionError::RingPlace { index })?;
    let ring = Ring::at(region, spec.offset as usize, spec.size)
        .map_err(|_| RegionError::RingPlace { index })?;
    if ring.has_cookie() { Ok(ring) } else { Err(RegionError::Cookie { index }) }
}

/// Whether a descriptor is an eventfd; anything else could block the one who writes it.
fn is_eventfd(fd: &OwnedFd) -> bool {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::readlink(link, Vec::new())
        .is_ok_and(|target| target.as_bytes() == b"anon_inode:[eventfd]")
}

fn system(what: &'static str) -> impl Fn(rustix::io::Errno) -> RegionError {
    move |errno| RegionError::System { what, source: errno.into() }
}

/// Layouts above 4 GiB were refused, so offsets fit.
fn offset_u32(offset: u64) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::parameters::{BufferSize, RingSize};

    fn layout() -> ClientLayout {
        ClientLayout {
            client_to_server: 2,
            server_to_client: 3,
            ring_size: RingSize::from_log2(4).expect("in range"),
            buffer_size: BufferSize::default(),
        }
    }

    #[test]
    fn what_a_client_shares_a_server_can_use() {
        let memory = ClientMemory::create(layout()).expect("memory");
        let shared = memory.share().expect("descriptors");
        let mut server =
            server_queues(shared, RegionPolicy::Sealed, &Limits::default()).expect("fit");
        let mut client = memory.into_queues().expect("queues");
        assert_eq!((client.tx.len(), client.rx.len()), (2, 3));
        assert_eq!((server.rx.len(), server.tx.len()), (2, 3));
        for (number, (tx, rx)) in (1u8..).zip(client.tx.iter_mut().zip(&mut server.rx)) {
            tx.push(&[number; 100][..]).expect("room");
            tx.flush().expect("open");
            let batch = rx.batch(8).expect("open");
            assert_eq!(batch.frames().next().expect("a frame").to_vec(), [number; 100]);
        }
        for (number, (tx, rx)) in (1u8..).zip(server.tx.iter_mut().zip(&mut client.rx)) {
            tx.push(&[number; 3000][..]).expect("room");
            tx.flush().expect("open");
            let batch = rx.batch(8).expect("open");
            assert_eq!(batch.frames().next().expect("a frame").to_vec(), [number; 3000]);
        }
    }

    #[test]
    fn an_armed_receiver_is_woken_and_a_polling_one_is_not() {
        let memory = ClientMemory::create(layout()).expect("memory");
        let shared = memory.share().expect("descriptors");
        let mut server =
            server_queues(shared, RegionPolicy::Sealed, &Limits::default()).expect("fit");
        let mut client = memory.into_queues().expect("queues");
        let (tx, rx) = (&mut client.tx[0], &mut server.rx[0]);
        tx.push(&[1u8][..]).expect("room");
        tx.flush().expect("open");
        assert_eq!(tx.kicks(), 0);
        drop(rx.batch(8).expect("open"));
        assert_eq!(rx.arm(), Ok(crate::queue::Armed::Sleep));
        tx.push(&[1u8][..]).expect("room");
        tx.flush().expect("open");
        assert_eq!(tx.kicks(), 1);
        let mut fds = [rustix::event::PollFd::new(&*rx, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut fds, None), Ok(1));
        rx.clear_interrupt().expect("readable");
        rx.clear_interrupt().expect("empty is fine too");
    }

    #[test]
    fn a_ring_outside_its_region_is_refused() {
        for (region, offset) in [(1, 0), (0, u32::MAX - 63), (0, 2)] {
            let memory = ClientMemory::create(layout()).expect("memory");
            let mut shared = memory.share().expect("descriptors");
            shared.server_to_client[1].region = region;
            shared.server_to_client[1].offset = offset;
            let error = server_queues(shared, RegionPolicy::Sealed, &Limits::default());
            assert!(error.is_err(), "region {region}, offset {offset}");
        }
    }

    #[test]
    fn what_is_no_eventfd_is_refused() {
        let memory = ClientMemory::create(layout()).expect("memory");
        let mut shared = memory.share().expect("descriptors");
        shared.client_to_server[1].interrupt = rustix::pipe::pipe().expect("pipe").1;
        assert!(matches!(
            server_queues(shared, RegionPolicy::Sealed, &Limits::default()),
            Err(RegionError::NotEventfd { index: 1 })
        ));
    }

    #[test]
    fn limits_hold_before_anything_is_mapped() {
        let memory = ClientMemory::create(layout()).expect("memory");
        let limits = Limits { total_bytes: 4096, ..Limits::default() };
        assert!(matches!(
            server_queues(memory.share().expect("descriptors"), RegionPolicy::Sealed, &limits),
            Err(RegionError::Limit { what: "bytes in all regions", limit: 4096, .. })
        ));
    }

    #[test]
    fn a_client_layout_needs_rings_both_ways_and_fits_into_4_gib() {
        let empty = ClientLayout { server_to_client: 0, ..layout() };
        assert!(matches!(ClientMemory::create(empty), Err(RegionError::Layout { .. })));
        let vast = ClientLayout {
            client_to_server: 40,
            ring_size: RingSize::from_log2(14).expect("in range"),
            buffer_size: BufferSize::new(u16::MAX).expect("in range"),
            ..layout()
        };
        assert!(matches!(ClientMemory::create(vast), Err(RegionError::Layout { .. })));
    }
}
