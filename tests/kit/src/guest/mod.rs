//! A virtual machine whose only network device is a vhost-user one: QEMU without KVM, Debian's kernel, and a
//! shell of busybox on the serial console.

mod initramfs;
mod kernel;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::kernel::Kernel;
pub(crate) use self::kernel::can_boot;
use crate::process::Process;

/// The program that is the machine.
const MACHINE: &str = "qemu-system-x86_64";

/// What the guest's kernel needs for its network device.
const MODULES: &[&str] = &["virtio_pci", "virtio_net"];

/// From power-on to the shell, and for each command. An emulated processor beside a busy compiler is slow.
const LIMIT: Duration = Duration::from_mins(1);

/// What a machine is made of.
#[derive(Debug, Clone)]
pub struct GuestOptions {
    /// The socket of its network device's back end.
    pub socket: PathBuf,
    /// The Ethernet address of the device.
    pub mac: String,
    /// Pairs of queues, and as many processors to use them.
    pub queues: u16,
    /// Addresses with their prefix length.
    pub addresses: Vec<String>,
    /// Where the rest of the world is, one for each IP version.
    pub gateways: Vec<String>,
}

impl GuestOptions {
    fn arguments(&self) -> Vec<String> {
        let Self { socket, mac, queues, .. } = self;
        // Without message-signalled interrupts: Debian's QEMU (7.2.22) crashes in `msix_set_vector_notifiers` when the
        // guest starts a vhost device that has them and there is no KVM.
        let multiple = if *queues > 1 { "on" } else { "off" };
        let device = format!("virtio-net-pci,netdev=net,mac={mac},mq={multiple},vectors=0");
        let list = [
            ["-accel", "tcg"],
            ["-machine", "q35,memory-backend=ram"],
            ["-smp", &queues.to_string()],
            ["-m", "128M"],
            ["-object", "memory-backend-memfd,id=ram,size=128M,share=on"],
            ["-chardev", &format!("socket,id=net,path={},reconnect=1", socket.display())],
            ["-netdev", &format!("vhost-user,id=net,chardev=net,queues={queues}")],
            ["-device", &device],
            ["-display", "none"],
            ["-monitor", "none"],
            ["-serial", "stdio"],
            ["-append", &self.command_line()],
        ];
        let switches = ["-nodefaults", "-no-user-config", "-no-reboot"];
        switches.into_iter().chain(list.as_flattened().iter().copied()).map(str::to_owned).collect()
    }

    /// What the kernel is told. It hands on what it does not know itself to the first program.
    fn command_line(&self) -> String {
        let (addresses, gateways) = (self.addresses.join(" "), self.gateways.join(" "));
        format!(
            "console=ttyS0 quiet panic=-1 \
             \"guest_addresses={addresses}\" \"guest_gateways={gateways}\""
        )
    }
}

/// A running machine; dropping it takes its power away.
#[derive(Debug)]
pub struct Guest {
    process: Process,
    commands: u32,
    /// Its initramfs.
    _folder: tempfile::TempDir,
}

impl Guest {
    /// Switches it on and waits for its shell.
    ///
    /// # Errors
    /// If it does not boot; with what it wrote to its console.
    pub fn boot(options: &GuestOptions) -> Result<Self> {
        let kernel = Kernel::find().context("no kernel for guests (`scripts/setup.sh test`)")?;
        let folder = tempfile::tempdir()?;
        let archive = initramfs::make(&kernel, MODULES, folder.path())?;
        let mut command = Command::new(MACHINE);
        command.args(options.arguments());
        command.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(archive);
        let process = Process::start("the guest", &mut command)?;
        process.line_after(0, LIMIT, "the guest has booted", |line| {
            line.contains(initramfs::READY).then_some(())
        })?;
        let mut guest = Self { process, commands: 0, _folder: folder };
        // Behind this is what the shell says of itself.
        guest.run("true")?;
        Ok(guest)
    }

    /// Runs a command in a subshell, and returns what it printed.
    ///
    /// # Errors
    /// If it does not succeed, with what it printed.
    pub fn run(&mut self, command: &str) -> Result<String> {
        self.commands += 1;
        let end = format!("=== {} ", self.commands);
        let mark = self.process.mark();
        self.process.send(&format!("( {command} ) </dev/null 2>&1; echo \"{end}$?\""))?;
        let status = self.process.line_after(mark, LIMIT, command, |line| {
            line.split_once(&end).map(|(_, status)| status.to_owned())
        })?;
        let lines = self.process.output().into_iter().skip(mark);
        let printed: Vec<_> = lines.take_while(|line| !line.contains(&end)).collect();
        let printed = printed.join("\n");
        ensure!(status == "0", "in the guest: {command}: {status}: {printed}");
        Ok(printed)
    }

    /// What it wrote to its console so far.
    pub fn console(&self) -> String {
        self.process.output().join("\n")
    }

    /// Switches it off from within, and waits for its end.
    ///
    /// # Errors
    /// If it goes on.
    pub fn power_off(mut self) -> Result<()> {
        self.process.send("poweroff -f")?;
        let status = self.process.wait(LIMIT)?;
        ensure!(status.success(), "QEMU ended with {status}; it wrote:\n{}", self.console());
        Ok(())
    }
}
