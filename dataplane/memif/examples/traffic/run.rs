//! The loops.

use std::error::Error;
use std::hint::spin_loop;
use std::time::{Duration, Instant};

use memif::memory::Queues;
use memif::queue::TxError;
use memif::{Link, RingFault, wait_for_frames};

use crate::common::Links;
use crate::options::{Mode, Options, Waiting};
use crate::report::{Latency, Report};
use crate::stream::{Generator, LARGEST, Sink};

/// Turns between two looks at the clock.
const CLOCK: u32 = 256;
/// After our own last frame: how long nothing may come until the other direction counts as over.
const QUIET: Duration = Duration::from_secs(1);
/// How long the peer may take to read the last frames.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves as many links as asked for; whether every frame was as it should be.
pub(crate) fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let links = Links::open(options.endpoint.clone())?;
    let mut clean = true;
    let mut served = 0;
    while options.links == 0 || served < options.links {
        let Some(mut link) = links.next() else { break };
        served += 1;
        let Some(queues) = link.take_queues() else { continue };
        let mut run = Run::new(options, queues);
        let outcome = match options.mode {
            Mode::Ping => run.ping(),
            Mode::Echo => run.echo(),
            Mode::Send | Mode::Receive | Mode::Both => run.stream(),
        };
        clean &= run.finish(&link, outcome);
        run.report.print(options.output);
    }
    Ok(clean)
}

/// One link's traffic.
struct Run<'a> {
    options: &'a Options,
    queues: Queues,
    generators: Vec<Generator>,
    sink: Sink,
    buffer: Vec<u8>,
    report: Report,
    start: Instant,
    now: Instant,
    turns: u32,
    received: Option<[Instant; 2]>,
}

impl<'a> Run<'a> {
    fn new(options: &'a Options, queues: Queues) -> Self {
        let header = Generator::header(options.destination, options.source);
        let now = Instant::now();
        let generators = (0..queues.tx.len())
            .map(|stream| {
                let stream = u8::try_from(stream).unwrap_or(u8::MAX);
                let sizes = options.sizes.clone();
                Generator::new(stream, options.count, options.burst, sizes, header)
            })
            .collect();
        Self {
            options,
            queues,
            generators,
            sink: Sink::new(options.check),
            buffer: vec![0; LARGEST],
            report: Report::default(),
            start: now,
            now,
            turns: 0,
            received: None,
        }
    }

    /// Generates, checks, or both, until the end that the options set or the link's.
    fn stream(&mut self) -> Result<(), TxError> {
        let sends = self.options.mode != Mode::Receive;
        let receives = self.options.mode != Mode::Send;
        let mut sending = sends;
        let mut last_move = self.now;
        while !self.is_over() {
            let sent = if sending { self.send()? } else { 0 };
            let received = if receives { self.receive()? } else { 0 };
            if sending && self.generators.iter().all(Generator::is_done) {
                sending = false;
                self.end_of_sending();
            }
            if sends && !receives && !sending {
                break;
            }
            if sent + received > 0 {
                last_move = self.now;
            } else if receives && sends && !sending && self.now >= last_move + QUIET {
                break;
            } else {
                self.rest(sending)?;
            }
        }
        if sending {
            self.end_of_sending();
        }
        if sends { self.drain(receives) } else { Ok(()) }
    }

    /// Sends a burst on every queue, as far as the rate allows.
    fn send(&mut self) -> Result<usize, TxError> {
        let mut allowance = match self.options.rate {
            None => usize::MAX,
            Some(rate) => {
                self.now = Instant::now();
                let due = self.now.duration_since(self.start).as_nanos() * u128::from(rate);
                let sent: u64 = self.generators.iter().map(|it| it.sent).sum();
                let open = (due / 1_000_000_000).saturating_sub(u128::from(sent));
                usize::try_from(open).unwrap_or(usize::MAX)
            }
        };
        let mut total = 0;
        for (generator, tx) in self.generators.iter_mut().zip(&mut self.queues.tx) {
            let sent = generator.send(tx, self.options.burst.min(allowance))?;
            allowance -= sent;
            total += sent;
        }
        Ok(total)
    }

    /// Checks a batch of every queue.
    fn receive(&mut self) -> Result<usize, RingFault> {
        let before = self.sink.findings.received;
        let wants = self.sink.wants();
        for rx in &mut self.queues.rx {
            for frame in rx.batch(self.options.burst)?.frames() {
                let length = frame.len();
                let seen = &mut self.buffer[..length.min(wants)];
                frame.copy_to(seen);
                self.sink.take(seen, length);
            }
        }
        let received = self.sink.findings.received - before;
        if received > 0 {
            self.note_receipt();
        }
        Ok(usize::try_from(received).unwrap_or(usize::MAX))
    }

    /// The first receipt is timed exactly, the last one as well as the clock is looked at.
    fn note_receipt(&mut self) {
        match &mut self.received {
            None => self.received = Some([Instant::now(); 2]),
            Some([_, last]) => *last = self.now,
        }
    }

    /// What to do when nothing moved.
    fn rest(&mut self, sending: bool) -> Result<(), RingFault> {
        if sending || self.options.waiting == Waiting::Poll {
            spin_loop();
            return Ok(());
        }
        let patience = self.options.duration.map(|time| time.saturating_sub(self.start.elapsed()));
        wait_for_frames(&mut self.queues.rx, patience).map_err(|_| RingFault::Disconnected)?;
        self.now = Instant::now();
        Ok(())
    }

    /// Looks at the clock now and then.
    fn is_over(&mut self) -> bool {
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(CLOCK) {
            self.now = Instant::now();
        }
        self.options.duration.is_some_and(|time| self.now.duration_since(self.start) >= time)
    }

    fn end_of_sending(&mut self) {
        self.report.sending = self.start.elapsed();
    }

    /// Waits for the peer to have read everything, so that its count can equal ours.
    fn drain(&mut self, receives: bool) -> Result<(), TxError> {
        let end = Instant::now() + DRAIN;
        loop {
            if receives {
                self.now = Instant::now();
                self.receive()?;
            }
            let mut unread = 0;
            for tx in &mut self.queues.tx {
                unread += u64::from(tx.in_flight()?);
            }
            self.report.unread = unread;
            if unread == 0 || Instant::now() >= end {
                return Ok(());
            }
            spin_loop();
        }
    }

    /// Sends one frame at a time and times its return.
    fn ping(&mut self) -> Result<(), TxError> {
        let mut samples = Vec::new();
        let count = self.options.count.unwrap_or(u64::MAX);
        let mut outcome = Ok(());
        while (samples.len() as u64) < count && !self.is_over() {
            match self.round_trip() {
                Ok(Some(nanoseconds)) => samples.push(nanoseconds),
                Ok(None) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        self.end_of_sending();
        self.report.round_trips = Latency::of(samples);
        outcome
    }

    /// `None` when the time is up.
    fn round_trip(&mut self) -> Result<Option<u64>, TxError> {
        let sent = Instant::now();
        while self.generators[0].send(&mut self.queues.tx[0], 1)? == 0 {
            spin_loop();
        }
        while self.receive()? == 0 {
            if self.is_over() {
                return Ok(None);
            }
            self.rest(false)?;
        }
        Ok(Some(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Sends every frame back where it came from, addresses swapped.
    fn echo(&mut self) -> Result<(), TxError> {
        let count = self.queues.tx.len();
        while !self.is_over() {
            let mut moved = 0;
            for (index, rx) in self.queues.rx.iter_mut().enumerate() {
                let tx = &mut self.queues.tx[index % count];
                for frame in rx.batch(self.options.burst)?.frames() {
                    moved += 1;
                    self.report.findings.received += 1;
                    self.report.findings.bytes += frame.len() as u64;
                    let (mut header, length) = frame.header::<12>();
                    if length == header.len() {
                        header.rotate_left(6);
                    }
                    match tx.forward(&header[..length], &frame) {
                        Ok(()) => self.report.sent += 1,
                        Err(TxError::Full) => self.report.findings.lost += 1,
                        Err(error) => return Err(error),
                    }
                }
                tx.flush()?;
            }
            if moved == 0 {
                self.rest(false)?;
            } else {
                self.note_receipt();
            }
        }
        Ok(())
    }

    /// Lets the link linger if it is up, and completes the report; whether all went well.
    fn finish(&mut self, link: &Link, outcome: Result<(), TxError>) -> bool {
        let mut well = true;
        match outcome {
            Ok(()) => linger(link, self.options.linger),
            Err(TxError::Fault(RingFault::Disconnected)) => {}
            Err(error) => {
                well = false;
                eprintln!("{error}");
            }
        }
        if self.options.mode != Mode::Echo {
            self.report.findings = self.sink.findings;
        }
        for generator in &self.generators {
            self.report.sent += generator.sent;
            self.report.sent_bytes += generator.bytes;
        }
        self.report.kicks = self.queues.tx.iter().map(memif::TxQueue::kicks).sum();
        if let Some([first, last]) = self.received {
            self.report.receiving = last.saturating_duration_since(first);
        }
        if self.report.sending.is_zero() && self.report.sent > 0 {
            self.report.sending = self.start.elapsed();
        }
        well && self.report.findings.is_clean()
    }
}

/// Stays connected for a while, or until the peer leaves.
fn linger(link: &Link, time: Duration) {
    use std::os::fd::AsFd;
    let end = Instant::now() + time;
    while link.poll().is_none() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || memif::wait_readable(&[link.as_fd()], Some(left)).is_err() {
            return;
        }
    }
}
