//! What each message of a front end does to its device.
//!
//! Whatever concerns the rings first stops them all, then changes the device; then the rings that are ready go on,
//! and only then is the message answered. So what an answer promises, that a ring stands still or that it is
//! served, is true.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use vhost::VhostUserMemoryRegionBase;
use vhost::vhost_user::message::{
    VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserInflight,
    VhostUserLog, VhostUserMemoryRegion, VhostUserShMemConfig, VhostUserSharedMsg,
    VhostUserSingleMemoryRegion, VhostUserVringAddrFlags, VhostUserVringState,
};
use vhost::vhost_user::{
    Error, GpuBackend, Result, VhostUserBackendReqHandlerMut, VhostUserProtocolFeatures,
};

use super::{Station, inflight};
use crate::device::{Device, Refusal};
use crate::ring::MAX_RING;
use crate::{
    DeviceConfig, Features, LinkState, MemoryTable, QueueFault, RegionSpec, RingAddresses,
};

/// The answer to a message that is for devices of another kind.
const FOREIGN: Error = Error::InvalidOperation("not a message for this network device");

/// What the front end of this connection agreed on so far.
#[derive(Debug, Clone, Copy, Default)]
struct Agreed {
    features: bool,
    answers: bool,
}

/// A device, and whoever moves its frames.
pub(super) struct Handler {
    config: DeviceConfig,
    device: Device,
    station: Box<dyn Station>,
    socket: Option<OwnedFd>,
    agreed: Agreed,
    /// The connection whose queues the station has.
    running: Option<Arc<LinkState>>,
    refusal: Option<String>,
}

impl Handler {
    pub(super) fn new(config: DeviceConfig, station: Box<dyn Station>) -> Self {
        Self {
            config,
            device: Device::new(config),
            station,
            socket: None,
            agreed: Agreed::default(),
            running: None,
            refusal: None,
        }
    }

    /// A front end connected, which knows nothing of the one before.
    pub(super) fn begin(&mut self, socket: OwnedFd) {
        self.end();
        self.socket = Some(socket);
    }

    /// It is gone: nothing of it stays.
    pub(super) fn end(&mut self) {
        self.halt();
        self.station.idle();
        self.device = Device::new(self.config);
        self.socket = None;
        self.agreed = Agreed::default();
        self.refusal = None;
    }

    /// Whether the front end has not said yet which features it wants.
    pub(super) fn awaits_features(&self) -> bool {
        !self.agreed.features
    }

    /// Whether messages that ask for an answer get one.
    pub(super) fn answers(&self) -> bool {
        self.agreed.answers
    }

    /// What the front end did wrong on its rings, and which message was refused, if that is so.
    pub(super) fn why(&mut self) -> (Option<QueueFault>, Option<String>) {
        let fault = self.running.as_ref().and_then(|state| state.fault());
        (fault, self.refusal.take())
    }

    /// Gives the station the rings that are ready.
    fn go_on(&mut self) -> Result<()> {
        let socket = self.socket.as_ref().map(|it| it.as_fd().try_clone_to_owned()).transpose();
        let socket = socket.map_err(Error::ReqHandlerError)?;
        let state = Arc::new(LinkState::new(socket));
        let queues = self.device.queues(&state).or_else(|refusal| self.refuse(&refusal))?;
        let Some(queues) = queues else {
            self.station.idle();
            return Ok(());
        };
        if let Err(error) = self.station.attach(queues) {
            self.refusal = Some(error.to_string());
            return Err(Error::BackendInternalError);
        }
        self.running = Some(state);
        Ok(())
    }

    /// Takes the rings away from the station.
    fn halt(&mut self) {
        if let Some(state) = self.running.take() {
            self.station.detach(&state);
            state.close();
        }
    }

    /// Changes the device while no ring is used.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Device) -> std::result::Result<T, Refusal>,
    ) -> Result<T> {
        self.halt();
        let outcome = change(&mut self.device).or_else(|refusal| self.refuse(&refusal))?;
        self.go_on().map(|()| outcome)
    }

    fn refuse<T>(&mut self, why: &(impl ToString + ?Sized)) -> Result<T> {
        self.refusal = Some(why.to_string());
        Err(Error::InvalidParam)
    }
}

impl VhostUserBackendReqHandlerMut for Handler {
    fn set_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        self.change(|device| {
            device.disable_all();
            Ok(())
        })
    }

    fn reset_device(&mut self) -> Result<()> {
        Err(FOREIGN)
    }

    fn get_features(&mut self) -> Result<u64> {
        Ok(Features::offered(self.device.config().queue_pairs).0)
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        self.change(|device| device.set_features(features))?;
        self.agreed.features = true;
        Ok(())
    }

    fn set_mem_table(
        &mut self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy_listening: Option<bool>,
    ) -> Result<Option<Vec<VhostUserMemoryRegionBase>>> {
        self.halt();
        let spec = |region: &VhostUserMemoryRegion| RegionSpec {
            guest: region.guest_phys_addr,
            size: region.memory_size,
            user: region.user_addr,
            file_offset: region.mmap_offset,
        };
        let regions: Vec<(RegionSpec, BorrowedFd<'_>)> =
            regions.iter().map(spec).zip(files.iter().map(AsFd::as_fd)).collect();
        match MemoryTable::map(&regions, self.config.memory_limit) {
            Ok(memory) => {
                self.device.set_memory(memory);
                self.go_on().map(|()| None)
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn set_vring_num(&mut self, index: u32, num: u32) -> Result<()> {
        self.change(|device| device.set_size(index, num))
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        flags: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        _log: u64,
    ) -> Result<()> {
        if flags.contains(VhostUserVringAddrFlags::VHOST_VRING_F_LOG) {
            return self.refuse("a log of written memory, which was not offered");
        }
        let addresses = RingAddresses { descriptors: descriptor, available, used };
        self.change(|device| device.set_addresses(index, addresses))
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> Result<()> {
        let Ok(base) = u16::try_from(base) else {
            return self.refuse(&format!("ring {index} at {base}; indices have 16 bits"));
        };
        self.change(|device| device.set_base(index, base))
    }

    fn get_vring_base(&mut self, index: u32) -> Result<VhostUserVringState> {
        let base = self.change(|device| device.stop(index))?;
        Ok(VhostUserVringState::new(index, base.into()))
    }

    fn set_vring_kick(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        self.change(|device| device.set_kick(index.into(), fd.map(Into::into)))
    }

    fn set_vring_call(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        self.change(|device| device.set_call(index.into(), fd.map(Into::into)))
    }

    fn set_vring_err(&mut self, _index: u8, _fd: Option<File>) -> Result<()> {
        // Front ends that break a rule hear it by the end of the connection.
        Ok(())
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        // `REPLY_ACK` is added by the crate that reads the messages.
        Ok(VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::INFLIGHT_SHMFD)
    }

    fn set_protocol_features(&mut self, features: u64) -> Result<()> {
        // The rest is kept by the crate that reads the messages: what was not agreed on it refuses.
        self.agreed.answers = features & VhostUserProtocolFeatures::REPLY_ACK.bits() != 0;
        Ok(())
    }

    fn get_queue_num(&mut self) -> Result<u64> {
        Ok(self.device.config().queue_pairs.into())
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> Result<()> {
        self.change(|device| device.enable(index, enable))
    }

    fn get_config(&mut self, _: u32, _: u32, _: VhostUserConfigFlags) -> Result<Vec<u8>> {
        Err(FOREIGN)
    }

    fn set_config(&mut self, _: u32, _: &[u8], _: VhostUserConfigFlags) -> Result<()> {
        Err(FOREIGN)
    }

    fn set_gpu_socket(&mut self, _: GpuBackend) -> Result<()> {
        Err(FOREIGN)
    }

    fn get_shared_object(&mut self, _: VhostUserSharedMsg) -> Result<File> {
        Err(FOREIGN)
    }

    fn get_inflight_fd(
        &mut self,
        inflight: &VhostUserInflight,
    ) -> Result<(VhostUserInflight, File)> {
        let (rings, size) = self.expect_rings(inflight)?;
        let file = inflight::create(rings, size).map_err(Error::ReqHandlerError)?;
        Ok((VhostUserInflight::new(inflight::area_len(rings, size), 0, rings, size), file))
    }

    fn set_inflight_fd(&mut self, inflight: &VhostUserInflight, _file: File) -> Result<()> {
        self.expect_rings(inflight).map(|_| ())
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        Err(FOREIGN)
    }

    fn add_mem_region(
        &mut self,
        _: &VhostUserSingleMemoryRegion,
        _: File,
        _: Option<bool>,
    ) -> Result<Option<VhostUserMemoryRegionBase>> {
        Err(FOREIGN)
    }

    fn remove_mem_region(&mut self, _: &VhostUserSingleMemoryRegion) -> Result<()> {
        Err(FOREIGN)
    }

    fn set_device_state_fd(
        &mut self,
        _: VhostTransferStateDirection,
        _: VhostTransferStatePhase,
        _: File,
    ) -> Result<Option<File>> {
        Err(FOREIGN)
    }

    fn check_device_state(&mut self) -> Result<()> {
        Err(FOREIGN)
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        Err(FOREIGN)
    }

    fn set_log_base(&mut self, _: &VhostUserLog, _: File) -> Result<()> {
        Err(FOREIGN)
    }
}

impl Handler {
    /// The rings of an area for buffers in flight, if the device can have as many.
    fn expect_rings(&mut self, inflight: &VhostUserInflight) -> Result<(u16, u16)> {
        let (rings, size) = (inflight.num_queues, inflight.queue_size);
        let most = self.device.config().queue_pairs * 2;
        if rings > most || u32::from(size) > MAX_RING {
            let why = format!("{rings} rings of {size} in flight, of a device with {most}");
            return self.refuse(&why);
        }
        Ok((rings, size))
    }
}
