//! The command line.

use std::time::Duration;

use crate::common::{ENDPOINT_HELP, Endpoint, Usage, value};
use crate::stream::{HEADER, LARGEST, Mac, SMALLEST};

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Run(Box<Options>),
}

/// Which way frames go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Generate.
    Send,
    /// Check and count.
    Receive,
    /// Both at once.
    Both,
    /// Send one frame and wait for it to come back.
    Ping,
    /// Send every frame back.
    Echo,
}

/// How to do it.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) endpoint: Endpoint,
    pub(crate) mode: Mode,
    /// Frame sizes, in turn.
    pub(crate) sizes: Vec<usize>,
    /// Frames per queue; `None`: no end.
    pub(crate) count: Option<u64>,
    pub(crate) duration: Option<Duration>,
    /// Frames per second over all queues; `None`: as many as the ring takes.
    pub(crate) rate: Option<u64>,
    pub(crate) burst: usize,
    pub(crate) destination: Mac,
    pub(crate) source: Mac,
    pub(crate) check: Check,
    pub(crate) waiting: Waiting,
    /// How many links to serve before the end; 0: no end.
    pub(crate) links: u64,
    /// How long to stay connected after the last frame.
    pub(crate) linger: Duration,
    pub(crate) output: Output,
}

/// How much of a frame the sink looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Every byte.
    All,
    /// Its number only.
    Number,
    /// Nothing: frames of other programs count as well.
    Nothing,
}

/// What a receiver does when nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Poll,
    Sleep,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Text,
    Json,
}

pub(crate) fn help() -> String {
    format!(
        "usage: traffic ENDPOINT send|receive|both|ping|echo [OPTION…]

{ENDPOINT_HELP}

  --size BYTES[,BYTES…]  frame sizes, in turn ({SMALLEST}..{LARGEST}; 64)
  --count N              frames to send on each queue, or round trips (no limit)
  --seconds N            how long (no limit)
  --rate N               frames per second, all queues together (no limit)
  --burst N              frames per batch (64)
  --dst MAC, --src MAC   addresses in each frame
  --check all|number|nothing   what the sink looks at (all)
  --sleep                receive: sleep when nothing comes, instead of polling
  --links N              serve N links, one after another, 0 for ever (1)
  --linger SECONDS       stay connected after the last frame (0)
  --json                 one JSON object per link on standard output

The exit status is 2 if a frame was lost, out of order or damaged."
    )
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, Usage> {
        let usage = || Usage("usage: traffic ENDPOINT MODE [OPTION…]; see traffic --help".into());
        let first = arguments.next().ok_or_else(usage)?;
        if first == "--help" || first == "-h" {
            return Ok(Command::Help);
        }
        let endpoint = first.parse()?;
        let mode = mode(&arguments.next().ok_or_else(usage)?)?;
        let mut options = Self::new(endpoint, mode);
        while let Some(option) = arguments.next() {
            options.take(&option, &mut arguments)?;
        }
        Ok(Command::Run(Box::new(options)))
    }

    fn new(endpoint: Endpoint, mode: Mode) -> Self {
        Self {
            endpoint,
            mode,
            sizes: vec![64],
            count: None,
            duration: None,
            rate: None,
            burst: 64,
            destination: [2, 0, 0, 0, 0, 2],
            source: [2, 0, 0, 0, 0, 1],
            check: Check::All,
            waiting: Waiting::Poll,
            links: 1,
            linger: Duration::ZERO,
            output: Output::Text,
        }
    }

    fn take(
        &mut self,
        option: &str,
        arguments: &mut impl Iterator<Item = String>,
    ) -> Result<(), Usage> {
        match option {
            "--json" => self.output = Output::Json,
            "--sleep" => self.waiting = Waiting::Sleep,
            _ => {
                let missing = || Usage(format!("{option} needs a value, or is no option"));
                let text = arguments.next().ok_or_else(missing)?;
                self.take_value(option, &text)?;
            }
        }
        Ok(())
    }

    fn take_value(&mut self, option: &str, text: &str) -> Result<(), Usage> {
        let seconds = |text| value(option, text).map(Duration::from_secs);
        match option {
            "--size" => self.sizes = text.split(',').map(size).collect::<Result<_, _>>()?,
            "--count" => self.count = Some(value(option, text)?),
            "--seconds" => self.duration = Some(seconds(text)?),
            "--rate" => self.rate = Some(value(option, text)?),
            "--burst" => self.burst = value::<usize>(option, text)?.clamp(1, 4096),
            "--dst" => self.destination = mac(text)?,
            "--src" => self.source = mac(text)?,
            "--check" => self.check = check(text)?,
            "--links" => self.links = value(option, text)?,
            "--linger" => self.linger = seconds(text)?,
            _ => return Err(Usage(format!("unknown option {option}; see traffic --help"))),
        }
        Ok(())
    }
}

fn mode(text: &str) -> Result<Mode, Usage> {
    Ok(match text {
        "send" => Mode::Send,
        "receive" => Mode::Receive,
        "both" => Mode::Both,
        "ping" => Mode::Ping,
        "echo" => Mode::Echo,
        _ => return Err(Usage(format!("{text:?} is not send, receive, both, ping or echo"))),
    })
}

fn check(text: &str) -> Result<Check, Usage> {
    Ok(match text {
        "all" => Check::All,
        "number" => Check::Number,
        "nothing" => Check::Nothing,
        _ => return Err(Usage(format!("{text:?} is not all, number or nothing"))),
    })
}

fn size(text: &str) -> Result<usize, Usage> {
    let size = value("--size", text)?;
    if (SMALLEST..=LARGEST).contains(&size) {
        return Ok(size);
    }
    Err(Usage(format!(
        "--size: {size} is not in {SMALLEST}..{LARGEST}: {HEADER} bytes of header, 8 of number"
    )))
}

fn mac(text: &str) -> Result<Mac, Usage> {
    let bytes: Result<Vec<u8>, _> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
    bytes
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Usage(format!("{text:?} is no MAC address")))
}
