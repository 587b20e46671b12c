//! Cycles and instructions of a thread, where the kernel counts them (virtual machines often have no
//! such counters).

use perf_event::events::Hardware;
use perf_event::{Builder, Counter};

/// The counters of the calling thread and the threads that it starts from now on.
#[derive(Debug)]
pub(crate) struct Counters {
    cycles: Counter,
    instructions: Counter,
}

impl Counters {
    /// Starts to count.
    ///
    /// # Errors
    /// When the kernel does not offer it.
    pub(crate) fn start() -> std::io::Result<Self> {
        let open = |event| -> std::io::Result<Counter> {
            let mut counter = Builder::new(event).inherit(true).build()?;
            counter.enable()?;
            Ok(counter)
        };
        Ok(Self {
            cycles: open(Hardware::CPU_CYCLES)?,
            instructions: open(Hardware::INSTRUCTIONS)?,
        })
    }

    /// Cycles and instructions so far; `None` when the kernel does not tell.
    pub(crate) fn read(&mut self) -> Option<(u64, u64)> {
        Some((self.cycles.read().ok()?, self.instructions.read().ok()?))
    }
}

/// For the description of the machine.
pub(crate) fn offered() -> String {
    match Counters::start() {
        Ok(mut counters) => match counters.read() {
            Some((cycles, _)) if cycles > 0 => "offered".to_owned(),
            _ => "not offered: the counters stand still".to_owned(),
        },
        Err(error) => format!("not offered: {error}"),
    }
}
