//! A thread that moves the frames of its domains.
//!
//! A bridge domain lives on exactly one worker, with all its ports and all their queues, so nothing on
//! the way of a frame is shared between threads and nothing is locked. Whoever wants something from a
//! worker sends it a [`Job`], which runs between two turns.

mod fabric;
mod inputs;
mod port;
mod segments;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use memif::RingFault;
use memif::memory::Queues;
use memif::queue::LinkState;
use rustix::event::EventfdFlags;

use crate::bridge::{PortSlot, Tick};
use crate::control::{DataplaneError, MemifStatus, PortId, PortStatus, VhostStatus};
use crate::packet_socket::PacketSocket;
use crate::stack_port::{StackInput, StackOutput};
use crate::tap::{IoMode, TapDevice};
use crate::{DomainId, WorkerConfig};

pub(crate) use fabric::Fabric;
use fabric::OFFER_INTERVAL;
use inputs::{Inputs, Source};
use port::{MemifOutput, Port, VhostOutput};

/// Something that a worker does between two turns.
pub(crate) type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// Told about a link whose peer broke the rules; called on the worker's thread.
pub(crate) type FaultHook = Arc<dyn Fn(PortId, RingFault) + Send + Sync>;

/// How often learnt addresses are aged while there is traffic.
const AGEING_INTERVAL: Duration = Duration::from_secs(1);

/// The end of a worker that others hold.
#[derive(Debug, Clone)]
pub(crate) struct WorkerHandle {
    jobs: Sender<Job>,
    wake: Arc<OwnedFd>,
}

impl WorkerHandle {
    /// Runs `job` on the worker and returns its result.
    ///
    /// # Errors
    /// [`DataplaneError::Stopped`].
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> Result<T, DataplaneError> {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        self.send(Box::new(move |worker| {
            // Nobody waits any more if this fails.
            let _ = sender.send(job(worker));
        }))?;
        receiver.recv().map_err(|_| DataplaneError::Stopped)
    }

    fn send(&self, job: Job) -> Result<(), DataplaneError> {
        self.jobs.send(job).map_err(|_| DataplaneError::Stopped)?;
        // It fails only when the counter is full, and then the worker is awake.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        Ok(())
    }

    /// Ends the worker after the jobs sent before.
    pub(crate) fn stop(&self) {
        let _ = self.send(Box::new(|worker| worker.stopping = true));
    }
}

/// A port with its queues, on its way from one domain to another.
#[derive(Debug)]
pub(crate) struct MovingPort {
    port: Box<Port>,
    sources: Vec<Source>,
}

/// The state of a worker thread.
pub(crate) struct Worker {
    pub(crate) fabric: Fabric,
    inputs: Inputs,
    jobs: Receiver<Job>,
    on_fault: FaultHook,
    started: Instant,
    last_ageing: Instant,
    stopping: bool,
}

/// What a caller sees of a port.
pub(crate) fn port_status(port: &Port) -> PortStatus {
    port.status()
}

/// Starts the thread.
///
/// # Errors
/// What the kernel answers when it has no descriptors or threads left.
pub(crate) fn spawn(
    number: usize,
    config: &WorkerConfig,
    on_fault: FaultHook,
) -> std::io::Result<(WorkerHandle, JoinHandle<()>)> {
    let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let (sender, jobs) = crossbeam_channel::unbounded();
    let now = Instant::now();
    let mut worker = Worker {
        fabric: Fabric::new(),
        inputs: Inputs::new(wake.as_fd(), config.spin)?,
        jobs,
        on_fault,
        started: now,
        last_ageing: now,
        stopping: false,
    };
    worker.report_io_mode();
    let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        worker.run();
    })?;
    Ok((WorkerHandle { jobs: sender, wake: Arc::new(wake) }, thread))
}

impl Worker {
    fn run(&mut self) {
        let mut faults = Vec::new();
        while !self.stopping {
            let now = Instant::now();
            self.fabric.set_time(self.tick(now));
            self.fabric.offer_parked();
            self.inputs.poll(&mut self.fabric, now, &mut faults);
            self.fabric.flush();
            faults.append(&mut self.fabric.take_faults());
            for (port, fault) in faults.drain(..) {
                (self.on_fault)(port, fault);
            }
            let longest = self.fabric.has_parked().then_some(OFFER_INTERVAL);
            if self.inputs.look(now, longest) {
                self.run_jobs();
            }
            if now.duration_since(self.last_ageing) >= AGEING_INTERVAL {
                self.last_ageing = now;
                self.fabric.age();
            }
        }
    }

    fn run_jobs(&mut self) {
        while let Ok(job) = self.jobs.try_recv() {
            let now = Instant::now();
            self.fabric.set_time(self.tick(now));
            job(self);
        }
    }

    fn tick(&self, now: Instant) -> Tick {
        #[expect(clippy::cast_possible_truncation, reason = "enough for half a billion years")]
        Tick(now.duration_since(self.started).as_millis() as u64)
    }

    fn report_io_mode(&self) {
        let reader = self.inputs.tap_reader();
        if reader.mode() == IoMode::Syscall {
            let reason = reader.fallback_reason().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(reason, "io_uring is not available: TAP frames take a system call each");
        }
    }

    // Jobs.

    /// Gives a port its TAP; the one it had is closed.
    pub(crate) fn attach_tap(
        &mut self,
        id: PortId,
        device: TapDevice,
    ) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        self.expect_no_other(id, slot, |port| port.tap.is_some())?;
        self.detach_tap(id)?;
        let device = Arc::new(device);
        if let Some(port) = self.fabric.port_mut(slot) {
            port.tap = Some(Arc::clone(&device));
        }
        for queue in 0..device.queues().len() {
            let source = Source::Tap { device: Arc::clone(&device), queue };
            if let Err(errno) = self.inputs.add(slot, id, source) {
                self.detach_tap(id)?;
                return Err(DataplaneError::Io { what: "watching a TAP", source: errno.into() });
            }
        }
        Ok(())
    }

    pub(crate) fn detach_tap(&mut self, id: PortId) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        self.fabric.flush();
        self.inputs.take(slot, |source| matches!(source, Source::Tap { .. }));
        if let Some(port) = self.fabric.port_mut(slot) {
            port.tap = None;
        }
        Ok(())
    }

    /// Gives a port its veth pair; the socket that it had is closed.
    pub(crate) fn attach_veth(
        &mut self,
        id: PortId,
        socket: PacketSocket,
    ) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        self.expect_no_other(id, slot, |port| port.veth.is_some())?;
        self.detach_veth(id)?;
        let socket = Arc::new(socket);
        self.inputs.add(slot, id, Source::Veth(Arc::clone(&socket))).map_err(|errno| {
            DataplaneError::Io { what: "watching a packet socket", source: errno.into() }
        })?;
        if let Some(port) = self.fabric.port_mut(slot) {
            port.veth = Some(socket);
        }
        Ok(())
    }

    pub(crate) fn detach_veth(&mut self, id: PortId) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        self.fabric.flush();
        self.inputs.take(slot, |source| matches!(source, Source::Veth(_)));
        if let Some(port) = self.fabric.port_mut(slot) {
            port.count_lost();
            port.veth = None;
        }
        Ok(())
    }

    /// Refuses a port that has a resting owner which is not the `own` one.
    fn expect_no_other(
        &mut self,
        id: PortId,
        slot: PortSlot,
        own: impl FnOnce(&Port) -> bool,
    ) -> Result<(), DataplaneError> {
        let Some(port) = self.fabric.port_mut(slot) else { return Ok(()) };
        let other = match port {
            Port { tap: Some(_), .. } => "a TAP",
            Port { veth: Some(_), .. } => "a veth pair",
            Port { stack: Some(_), .. } => "a network stack",
            _ => return Ok(()),
        };
        if own(port) { Ok(()) } else { Err(DataplaneError::Occupied { port: id, other }) }
    }

    /// Gives a port its network stack; the one it had is cut off.
    pub(crate) fn attach_stack(
        &mut self,
        id: PortId,
        input: StackInput,
        output: StackOutput,
    ) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        self.expect_no_other(id, slot, |port| port.stack.is_some())?;
        self.detach_stack(id)?;
        self.inputs.add(slot, id, Source::Stack(input)).map_err(|errno| DataplaneError::Io {
            what: "watching a network stack",
            source: errno.into(),
        })?;
        if let Some(port) = self.fabric.port_mut(slot) {
            port.stack = Some(output);
            port.tell_owner();
        }
        Ok(())
    }

    pub(crate) fn detach_stack(&mut self, id: PortId) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        self.fabric.detach_stack(slot);
        self.inputs.take(slot, |source| matches!(source, Source::Stack(_)));
        Ok(())
    }

    /// The address of the port's stack is somebody else's, who is not behind this port, or is the stack's again.
    pub(crate) fn lend_address(&mut self, id: PortId, lent: bool) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        self.fabric.flush();
        if let Some(port) = self.fabric.port_mut(slot) {
            port.lent = lent;
            port.tell_owner();
        }
        Ok(())
    }

    /// Makes a connected memif client the owner of the port's address.
    pub(crate) fn attach_memif(
        &mut self,
        id: PortId,
        queues: Queues,
        status: MemifStatus,
    ) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        if self.fabric.port_mut(slot).is_some_and(|port| port.vhost.is_some()) {
            return Err(DataplaneError::Occupied { port: id, other: "a vhost-user front end" });
        }
        self.fabric.flush();
        for queue in queues.rx {
            self.inputs.add(slot, id, Source::Memif(queue)).map_err(|errno| {
                self.inputs.take(slot, |source| matches!(source, Source::Memif(_)));
                DataplaneError::Io { what: "watching a memif queue", source: errno.into() }
            })?;
        }
        if let Some(port) = self.fabric.port_mut(slot) {
            port.memif = Some(MemifOutput { queues: queues.tx, state: queues.state, status });
            port.tell_owner();
        }
        Ok(())
    }

    /// Lets a memif link go; does nothing when the port has another one by now.
    pub(crate) fn detach_memif(
        &mut self,
        id: PortId,
        state: &Arc<LinkState>,
    ) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        self.fabric.flush();
        self.inputs.take(slot, |source| match source {
            Source::Memif(queue) => Arc::ptr_eq(queue.state(), state),
            _ => false,
        });
        if let Some(port) = self.fabric.port_mut(slot) {
            port.memif.take_if(|memif| Arc::ptr_eq(&memif.state, state));
            port.tell_owner();
        }
        Ok(())
    }

    /// Makes the front end of a vhost-user device the owner of the port's address.
    pub(crate) fn attach_vhost(
        &mut self,
        id: PortId,
        queues: vhost_user_net::Queues,
    ) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        if self.fabric.port_mut(slot).is_some_and(|port| port.memif.is_some()) {
            return Err(DataplaneError::Occupied { port: id, other: "a memif client" });
        }
        self.fabric.flush();
        let status = VhostStatus::of(&queues);
        for queue in queues.rx {
            self.inputs.add(slot, id, Source::Vhost(queue)).map_err(|errno| {
                self.inputs.take(slot, |source| matches!(source, Source::Vhost(_)));
                DataplaneError::Io { what: "watching a vhost-user queue", source: errno.into() }
            })?;
        }
        if let Some(port) = self.fabric.port_mut(slot) {
            port.vhost = Some(VhostOutput { queues: queues.tx, state: queues.state, status });
            port.tell_owner();
        }
        Ok(())
    }

    /// Lets the queues of a front end go; does nothing when the port has others by now.
    pub(crate) fn detach_vhost(
        &mut self,
        id: PortId,
        state: &Arc<vhost_user_net::LinkState>,
    ) -> Result<(), DataplaneError> {
        let slot = self.slot(id)?;
        self.fabric.flush();
        self.inputs.take(slot, |source| match source {
            Source::Vhost(queue) => Arc::ptr_eq(queue.state(), state),
            _ => false,
        });
        if let Some(port) = self.fabric.port_mut(slot) {
            port.vhost.take_if(|vhost| Arc::ptr_eq(&vhost.state, state));
            port.tell_owner();
        }
        Ok(())
    }

    /// Takes a port out with everything that belongs to it.
    pub(crate) fn take_port(&mut self, id: PortId) -> Result<MovingPort, DataplaneError> {
        let slot = self.slot(id)?;
        let sources = self.inputs.take(slot, |_| true);
        let port = self.fabric.remove(slot).ok_or(DataplaneError::NoPort(id))?;
        Ok(MovingPort { port: Box::new(port), sources })
    }

    /// Takes a port in; gives it back when its new domain refuses.
    pub(crate) fn put_port(
        &mut self,
        mut moving: MovingPort,
        domain: DomainId,
    ) -> Result<(), (MovingPort, DataplaneError)> {
        let former = std::mem::replace(&mut moving.port.domain, domain);
        let id = moving.port.id;
        let slot = match self.fabric.insert(*moving.port) {
            Ok(slot) => slot,
            Err((mut port, error)) => {
                port.domain = former;
                return Err((MovingPort { port, sources: moving.sources }, error));
            }
        };
        for source in moving.sources {
            if let Err(errno) = self.inputs.add(slot, id, source) {
                // Out of kernel memory: this queue stays silent, the link will be made anew.
                tracing::error!(port = id.0, error = %errno, "a queue was lost while its port moved");
            }
        }
        Ok(())
    }

    pub(crate) fn slot(&self, id: PortId) -> Result<PortSlot, DataplaneError> {
        self.fabric.slot(id).ok_or(DataplaneError::NoPort(id))
    }
}
