//! What unmodified programs are told to do with each other, and what is read from their reports.

use std::time::Duration;

use anyhow::Result;

use super::Sample;
use super::reports::{iperf3_gigabits, redis_rate, sockperf_percentile, wrk_rate};
use crate::benchmark::Work;

/// The command line of the server.
pub(super) fn server_command(work: Work) -> &'static [&'static str] {
    match work {
        Work::Stream => &["iperf3", "-s"],
        Work::PingPong { .. } => &["sockperf", "server", "--tcp", "-i", "0.0.0.0", "-p", "11111"],
        Work::Redis { .. } => {
            &["redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no"]
        }
        Work::Web { .. } => &["nginx", "-c", "/bench/nginx.conf"],
    }
}

/// The command line of a client that works for about `length` with the server at `address`.
pub(super) fn client_command(work: Work, address: &str, length: Duration) -> Vec<String> {
    let seconds = length.as_secs().max(1);
    let line = match work {
        Work::Stream => format!("iperf3 -c {address} -t {seconds} -J"),
        // Faster than 600,000 a second sockperf 3.7 runs out of room for its own records.
        Work::PingPong { .. } => format!(
            "sockperf ping-pong --tcp -i {address} -p 11111 -t {seconds} -m 64 --full-rtt --mps 250000"
        ),
        Work::Redis { clients, pipeline, requests } => {
            format!(
                "redis-benchmark -h {address} -c {clients} -P {pipeline} -n {requests} -t get --csv"
            )
        }
        Work::Web { .. } => format!("wrk -t 1 -c 50 -d {seconds}s http://{address}:8080/"),
    };
    let mut line: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if work == (Work::Web { keep_alive: false }) {
        line.extend(["-H", "Connection: close"].map(str::to_owned));
    }
    line
}

/// The benchmark's figure in what the client printed.
pub(super) fn figure(work: Work, report: &str) -> Result<f64> {
    match work {
        Work::Stream => iperf3_gigabits(report),
        Work::PingPong { per_mille } => sockperf_percentile(report, per_mille),
        Work::Redis { .. } => redis_rate(report),
        Work::Web { .. } => wrk_rate(report),
    }
}

/// The figure of a run that took `length` and so many CPU seconds.
///
/// # Errors
/// When nothing was measured.
pub(super) fn sample(work: Work, value: f64, length: Duration, used: f64) -> Result<Sample> {
    let sample = Sample::new(value, [("CPU seconds", used)])?;
    if work != Work::Stream {
        return Ok(sample);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    let gibibytes = value * 1e9 / 8.0 * length.as_secs().max(1) as f64 / f64::from(1 << 30);
    Ok(sample.with([("CPU seconds per GiB", used / gibibytes)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_stays_one_argument() {
        let line = |keep_alive| {
            client_command(Work::Web { keep_alive }, "10.0.0.1", Duration::from_secs(2))
        };
        assert_eq!(line(true).last().unwrap(), "http://10.0.0.1:8080/");
        assert_eq!(line(false)[line(true).len()..], ["-H", "Connection: close"]);
    }

    #[test]
    fn less_than_a_second_is_one() {
        let line = client_command(Work::Stream, "::1", Duration::from_millis(400));
        assert_eq!(line.join(" "), "iperf3 -c ::1 -t 1 -J");
    }
}
