//! Where frames come from, and which of those places are polled.
//!
//! A queue of a memif client or a vhost-user device that brought work is polled. One that stayed empty for the spin time is armed: its
//! peer will write the eventfd, and the worker looks at it only when `epoll` says so. A TAP queue and a packet
//! socket are read until they are empty and then left to `epoll`. So the cost of a turn depends on the busy inputs
//! only, and a worker whose inputs all sleep does so itself.
//!
//! Descriptors are registered edge-triggered: an eventfd that is never read still reports each write,
//! which saves a system call, and a peer cannot turn the level into a busy loop.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use memif::queue::Armed;
use memif::{RingFault, RxQueue};
use rustix::event::{Timespec, epoll};
use vhost_user_net::QueueFault;

use crate::DropReason;
use crate::bridge::PortSlot;
use crate::control::PortId;
use crate::offload::BadOffload;
use crate::packet_socket::{PacketReader, PacketSocket};
use crate::stack_port::StackInput;
use crate::tap::{BUFFER_LEN, TapDevice, TapReader};
use crate::vxlan::Receiver;
use crate::worker::fabric::Fabric;

/// Descriptors taken from one memif queue in a turn, and frames from one queue of a vhost-user device.
const RING_BURST: usize = 64;
/// Slots between the frame being switched and the one that the processor fetches.
const FETCH_AHEAD: usize = 16;
/// Frames taken from one stack in a turn.
const STACK_BURST: usize = 32;
/// Frames read from one TAP queue in a turn.
const TAP_BURST: usize = 32;
/// How long after arming a queue the first sleep may last: senders without a memory fence (VPP, DPDK)
/// can miss the request for an interrupt by the time of a store buffer.
const FIRST_SLEEP: Duration = Duration::from_millis(1);
/// How often sleeping inputs are asked for while others are busy.
const LOOK_INTERVAL: Duration = Duration::from_micros(20);
/// Events taken from the kernel at a time; what is left comes with the next look.
const EVENTS: usize = 64;
/// The place in the port table of what belongs to no port.
pub(crate) const NO_PORT: PortSlot = PortSlot(u16::MAX);
/// The key of the worker's own eventfd.
const WAKE_KEY: u64 = u64::MAX;

/// A queue of a device: polled in place, for a pointer more would be followed each turn.
#[derive(Debug)]
pub(crate) enum Source {
    Memif(RxQueue),
    Vhost(vhost_user_net::RxQueue),
    Tap {
        device: Arc<TapDevice>,
        queue: usize,
    },
    Veth(Arc<PacketSocket>),
    Stack(StackInput),
    /// What other hosts send to a local address; it is of no port.
    Vxlan {
        vtep: usize,
        receiver: Box<Receiver>,
    },
}

impl Source {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Memif(queue) => queue.as_fd(),
            Self::Vhost(queue) => queue.as_fd(),
            Self::Tap { device, queue } => device.queues()[*queue].as_fd(),
            Self::Veth(socket) => socket.as_fd(),
            Self::Stack(input) => input.as_fd(),
            Self::Vxlan { receiver, .. } => receiver.as_fd(),
        }
    }

    /// Says that the source is polled.
    fn disarm(&mut self) {
        match self {
            Self::Memif(queue) => queue.disarm(),
            Self::Vhost(queue) => queue.disarm(),
            Self::Stack(input) => input.disarm(),
            Self::Tap { .. } | Self::Veth(_) | Self::Vxlan { .. } => {}
        }
    }
}

#[derive(Debug)]
struct Input {
    port: PortSlot,
    id: PortId,
    source: Source,
    generation: u32,
    active: bool,
    last_work: Instant,
}

/// Buffers for what the kernel sends.
#[derive(Debug)]
struct Readers {
    tap: TapReader,
    packet: PacketReader,
}

/// What a turn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Worked,
    Idle,
    /// Nothing to do until `epoll` reports it.
    Asleep,
    Fault(RingFault),
}

/// All inputs of a worker.
#[derive(Debug)]
pub(crate) struct Inputs {
    slots: Vec<Option<Input>>,
    active: Vec<usize>,
    /// Armed a short while ago: looked at once more at the given time.
    fresh: Vec<(usize, Instant)>,
    epoll: OwnedFd,
    readers: Readers,
    spin: Duration,
    generation: u32,
    last_look: Instant,
}

impl Inputs {
    pub(crate) fn new(wake: BorrowedFd<'_>, spin: Duration) -> rustix::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, wake, epoll::EventData::new_u64(WAKE_KEY), flags)?;
        Ok(Self {
            slots: Vec::new(),
            active: Vec::new(),
            fresh: Vec::new(),
            epoll,
            readers: Readers {
                tap: TapReader::new(TAP_BURST, BUFFER_LEN),
                packet: PacketReader::new(BUFFER_LEN),
            },
            spin,
            generation: 0,
            last_look: Instant::now(),
        })
    }

    /// How frames are read from TAPs.
    pub(crate) fn tap_reader(&self) -> &TapReader {
        &self.readers.tap
    }

    /// Adds a queue; it is polled at once.
    pub(crate) fn add(
        &mut self,
        port: PortSlot,
        id: PortId,
        source: Source,
    ) -> rustix::io::Result<()> {
        self.generation = self.generation.wrapping_add(1) & 0x7fff_ffff;
        let at = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let key = at as u64 | u64::from(self.generation) << 32;
        epoll::add(&self.epoll, source.fd(), epoll::EventData::new_u64(key), flags)?;
        let mut source = source;
        source.disarm();
        let input = Input {
            port,
            id,
            source,
            generation: self.generation,
            active: true,
            last_work: Instant::now(),
        };
        if at == self.slots.len() {
            self.slots.push(Some(input));
        } else {
            self.slots[at] = Some(input);
        }
        self.active.push(at);
        Ok(())
    }

    /// Takes the queues of a port out that `wanted` names.
    pub(crate) fn take(&mut self, port: PortSlot, wanted: impl Fn(&Source) -> bool) -> Vec<Source> {
        let mut taken = Vec::new();
        for at in 0..self.slots.len() {
            let ours = |input: &mut Input| input.port == port && wanted(&input.source);
            let Some(input) = self.slots[at].take_if(ours) else { continue };
            let _ = epoll::delete(&self.epoll, input.source.fd());
            taken.push(input.source);
        }
        self.active.retain(|&at| self.slots[at].is_some());
        self.fresh.retain(|&(at, _)| self.slots[at].is_some());
        taken
    }

    /// Gives every polled input a turn; true when one of them had work. Faults are added to `faults`.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        fabric: &mut Fabric,
        now: Instant,
        faults: &mut Vec<(PortId, RingFault)>,
    ) -> bool {
        let mut worked = false;
        let mut i = 0;
        while i < self.active.len() {
            let at = self.active[i];
            let Some(input) = &mut self.slots[at] else {
                self.active.swap_remove(i);
                continue;
            };
            match turn(input, &mut self.readers, fabric) {
                Turn::Worked => {
                    input.last_work = now;
                    worked = true;
                    i += 1;
                }
                Turn::Idle if now.duration_since(input.last_work) < self.spin => i += 1,
                Turn::Idle => {
                    if fall_asleep(input) {
                        self.fresh.push((at, now + FIRST_SLEEP));
                        self.active.swap_remove(i);
                    }
                }
                Turn::Asleep => {
                    input.active = false;
                    self.active.swap_remove(i);
                }
                Turn::Fault(fault) => {
                    input.active = false;
                    faults.push((input.id, fault));
                    self.active.swap_remove(i);
                }
            }
        }
        worked
    }

    /// Looks which sleeping inputs have work. Without busy inputs it sleeps until one has, or until
    /// somebody writes the wake descriptor, but not for longer than `longest`; with busy ones it looks now and then and never sleeps.
    /// Returns whether the worker should see to its commands.
    #[inline]
    pub(crate) fn look(&mut self, now: Instant, longest: Option<Duration>) -> bool {
        if self.active.is_empty() {
            self.sleep(now, longest);
            return true;
        }
        if now.duration_since(self.last_look) < LOOK_INTERVAL {
            return false;
        }
        self.wait(Some(Duration::ZERO));
        self.check_fresh(now);
        self.last_look = now;
        true
    }

    #[cold]
    fn sleep(&mut self, now: Instant, longest: Option<Duration>) {
        let until = self.fresh.iter().map(|&(_, until)| until).min();
        let fresh = until.map(|until| until.saturating_duration_since(now));
        self.wait(fresh.into_iter().chain(longest).min());
        if !self.fresh.is_empty() {
            self.check_fresh(Instant::now());
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events = [const { MaybeUninit::uninit() }; EVENTS];
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut events, timeout.as_ref()) else {
            return;
        };
        let now = Instant::now();
        for event in events {
            match event.data.u64() {
                WAKE_KEY => {}
                key => self.activate(key, now),
            }
        }
    }

    fn activate(&mut self, key: u64, now: Instant) {
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the key")]
        let (at, generation) = (key as u32 as usize, (key >> 32) as u32);
        let Some(Some(input)) = self.slots.get_mut(at) else { return };
        if input.active || input.generation != generation {
            return;
        }
        input.active = true;
        input.last_work = now;
        input.source.disarm();
        self.active.push(at);
    }

    /// The second look at queues that were armed a short while ago.
    fn check_fresh(&mut self, now: Instant) {
        for (at, until) in std::mem::take(&mut self.fresh) {
            let Some(Some(input)) = self.slots.get(at) else { continue };
            if input.active {
                continue;
            }
            let Source::Memif(queue) = &input.source else { continue };
            if queue.has_frames() {
                let key = at as u64 | u64::from(input.generation) << 32;
                self.activate(key, now);
            } else if now < until {
                self.fresh.push((at, until));
            }
        }
    }
}

/// Moves what one input has.
#[inline]
fn turn(input: &mut Input, readers: &mut Readers, fabric: &mut Fabric) -> Turn {
    let port = input.port;
    match &mut input.source {
        Source::Memif(queue) => match queue.batch(RING_BURST) {
            Ok(batch) if batch.is_empty() => Turn::Idle,
            Ok(batch) => {
                let frames = batch.frames().fetch_ahead(FETCH_AHEAD);
                if fabric.is_uncut(port) {
                    for frame in frames {
                        fabric.ingress_uncut(port, &frame);
                    }
                } else {
                    for frame in frames {
                        fabric.ingress_memif(port, &frame);
                    }
                }
                drop(batch);
                fabric.flush_rings();
                Turn::Worked
            }
            Err(fault) => {
                if fault != RingFault::Disconnected {
                    fabric.drop_at(port, DropReason::BadDescriptor);
                }
                Turn::Fault(fault)
            }
        },
        Source::Vhost(queue) => turn_vhost(port, queue, fabric),
        Source::Tap { device, queue } => {
            let fd = device.queues()[*queue].as_fd();
            // An error is a device that is gone; the one who took it away detaches it.
            let Ok(burst) = readers.tap.read_burst(fd, TAP_BURST) else { return Turn::Asleep };
            let drained = burst.is_drained();
            for (offload, frame) in burst {
                fabric.ingress_kernel(port, offload, frame);
            }
            fabric.flush();
            if drained { Turn::Asleep } else { Turn::Worked }
        }
        Source::Veth(socket) => turn_veth(port, socket, &mut readers.packet, fabric),
        Source::Stack(queue) => {
            let mut taken = 0;
            while taken < STACK_BURST
                && let Some(frame) = queue.pop()
            {
                fabric.ingress_stack(port, frame);
                taken += 1;
            }
            if taken == 0 {
                return Turn::Idle;
            }
            fabric.flush();
            Turn::Worked
        }
        Source::Vxlan { vtep, receiver } => {
            // An error is told once and says nothing of what waits behind it.
            let Ok(more) = receiver.receive().or_else(|_| receiver.receive()) else {
                return Turn::Asleep;
            };
            for (datagram, bytes) in receiver.datagrams() {
                fabric.ingress_vxlan(*vtep, datagram, bytes);
            }
            fabric.flush();
            if more { Turn::Worked } else { Turn::Asleep }
        }
    }
}

/// Moves what arrived at the host's end of a veth pair.
fn turn_veth(
    port: PortSlot,
    socket: &PacketSocket,
    reader: &mut PacketReader,
    fabric: &mut Fabric,
) -> Turn {
    // An error is a link that is gone, as with a TAP.
    let Ok(burst) = reader.read_burst(socket) else { return Turn::Asleep };
    let drained = burst.is_drained();
    if burst.has_unnamed_offload() {
        fabric.ingress_kernel(port, Err(BadOffload::Unnamed), &mut []);
    }
    for (offload, frame) in burst {
        fabric.ingress_kernel(port, offload, frame);
    }
    fabric.flush();
    if drained { Turn::Asleep } else { Turn::Worked }
}

/// Moves what a front end has. One that breaks a rule is disconnected by its socket's thread, which then takes
/// the queues away.
#[inline]
fn turn_vhost(port: PortSlot, queue: &mut vhost_user_net::RxQueue, fabric: &mut Fabric) -> Turn {
    let fault = match queue.batch(RING_BURST) {
        Ok(batch) if batch.is_empty() => return Turn::Idle,
        Ok(batch) => {
            for frame in batch.frames().fetch_ahead(FETCH_AHEAD) {
                fabric.ingress_vhost(port, &frame);
            }
            drop(batch);
            fabric.flush_rings();
            return Turn::Worked;
        }
        Err(fault) => fault,
    };
    if fault != QueueFault::Disconnected && queue.state().is_open() {
        fabric.drop_at(port, DropReason::BadDescriptor);
        queue.state().fail(fault);
    }
    Turn::Asleep
}

/// Asks the peer for interrupts; false when frames arrived meanwhile.
#[cold]
fn fall_asleep(input: &mut Input) -> bool {
    let has_frames = match &mut input.source {
        Source::Memif(queue) => matches!(queue.arm(), Ok(Armed::Ready)),
        Source::Vhost(queue) => matches!(queue.arm(), Ok(false)),
        Source::Stack(queue) => !queue.arm(),
        Source::Tap { .. } | Source::Veth(_) | Source::Vxlan { .. } => false,
    };
    if has_frames {
        input.source.disarm();
        return false;
    }
    input.active = false;
    true
}
