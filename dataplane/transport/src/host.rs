//! An endpoint's station, from outside.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dataplane::stack_port::StackPort;
use dataplane::tap::TapDevice;
use session::broker::{EndpointKey, Handle, NetworkStack};
use stack::Config;

use crate::counted::{Counted, HostCounters};
use crate::mailbox::{Command, Mailbox};
use crate::names::KernelLink;
use crate::splice::{Doors, Fork, Splicer};
use crate::thread::Thread;
use crate::vcl::{Control, Program, Supervisor};

/// How long the end of the thread is waited for. A program may hold it up, with a descriptor that it sent
/// on a session's socket and that takes long to close; then it ends later.
const PATIENCE: Duration = Duration::from_secs(2);

/// The network stack of one endpoint and its thread. Dropping it ends both: connections are reset, programs
/// see their sessions end.
#[derive(Debug)]
pub struct Host {
    mailbox: Arc<Mailbox>,
    ended: Mutex<Receiver<()>>,
    counted: Counted,
    /// Published ports. None with VPP's host stack, which has its own.
    doors: Option<Arc<Doors>>,
}

impl Host {
    /// Starts the thread of endpoint `key` on its port. `kernel` is the interface of the container's kernel,
    /// which asks name servers through it; without one that kernel reaches nobody.
    ///
    /// # Errors
    /// What the kernel answers to epoll, eventfd and starting a thread.
    pub fn start(
        key: EndpointKey,
        config: Config,
        port: StackPort,
        kernel: Option<TapDevice>,
        broker: Handle,
    ) -> io::Result<Self> {
        let (mailbox, inbox) = Mailbox::new()?;
        let mailbox = Arc::new(mailbox);
        let counted = Counted::default();
        let kernel = kernel.map(KernelLink::new);
        let doors = Arc::new(Doors::new(key, broker.clone())?);
        let mut thread = Thread::new(key, config, port, kernel, broker, &mailbox, inbox)?;
        thread.count_for(counted.clone());
        let mut host = Self::run("stack", mailbox, counted, move || thread.run())?;
        host.doors = Some(doors);
        Ok(host)
    }

    /// Starts the thread that looks after the process which connects endpoint `key` with VPP's host stack.
    /// There is a process as long as the [`Control`] says where it attaches.
    ///
    /// # Errors
    /// What the kernel answers to epoll, eventfd and starting a thread. The process is started again
    /// whenever it ends, so that it does not start is no error.
    pub fn start_vcl(
        key: EndpointKey,
        program: Program,
        broker: Handle,
    ) -> io::Result<(Self, Control)> {
        let (mailbox, inbox) = Mailbox::new()?;
        let mailbox = Arc::new(mailbox);
        let (control, wishes) = Control::new(Arc::clone(&mailbox));
        let supervisor = Supervisor::new(key, program, broker, &mailbox, inbox, wishes)?;
        let counted = Counted::default();
        Ok((Self::run("vcl", mailbox, counted, move || supervisor.run())?, control))
    }

    fn run(
        name: &str,
        mailbox: Arc<Mailbox>,
        counted: Counted,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let (end, ended) = channel::<()>();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            work();
            // Also when it panics.
            drop(end);
        })?;
        Ok(Self { mailbox, ended: Mutex::new(ended), counted, doors: None })
    }

    /// What was counted up to a moment ago.
    pub fn counters(&self) -> HostCounters {
        self.counted.get()
    }

    /// What the broker is to ask.
    pub fn network_stack(&self) -> Arc<dyn NetworkStack> {
        let stack = Arc::clone(&self.mailbox);
        match &self.doors {
            Some(doors) => Arc::new(Fork { stack, doors: Arc::clone(doors) }),
            None => stack,
        }
    }

    /// Opens doors for published ports; none with VPP's host stack.
    pub fn splicer(&self) -> Option<Splicer> {
        self.doors.clone().map(Splicer::new)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(doors) = &self.doors {
            doors.stop(PATIENCE);
        }
        self.mailbox.post(Command::Stop);
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("a container holds the thread of its network stack up; it ends later");
        }
    }
}
