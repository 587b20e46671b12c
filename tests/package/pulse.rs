//! Bytes that go to and fro between two containers while something happens to the agent.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::process::Process;
use kit::{Container, Network};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

/// Where the server listens.
pub(crate) const PORT: &str = "7001";

/// A stream of bytes that go there and come back.
pub(crate) struct Pulse {
    pub(crate) what: &'static str,
    process: Process,
    _server: Process,
}

impl Pulse {
    pub(crate) fn start(
        what: &'static str,
        [server, client]: [&Container; 2],
        network: &Network,
    ) -> Result<Self> {
        let serving = server.exec_start(&["netprobe", "echo", PORT])?;
        let said = |word: &'static str| move |line: &str| (line == word).then_some(());
        serving.line_after(0, SOON, "the server listens", said("listening"))?;
        let to = format!("{}:{PORT}", server.address(network)?);
        let process = client.exec_start(&["netprobe", "pulse", &to])?;
        process.line_after(0, SOON, "bytes go there and back", said("pulsing"))?;
        Ok(Self { what, process, _server: serving })
    }

    /// How many bytes came back and the longest wait, in milliseconds. Fails if a byte was lost or changed.
    pub(crate) fn end(mut self) -> Result<(u64, u64)> {
        self.process.close_input();
        let status = self.process.wait(SOON)?;
        let output = self.process.output();
        ensure!(status.success(), "{}: {}", self.what, output.join("\n"));
        let last: Value = serde_json::from_str(output.last().context("it says how it was")?)?;
        let number = |key: &str| last[key].as_u64().with_context(|| format!("{key} in {last}"));
        Ok((number("bytes")?, number("longest_ms")?))
    }
}
