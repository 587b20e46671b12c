//! What programs print of their work.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Gigabits per second that iperf3's receiver counted, of its JSON report.
pub(super) fn iperf3_gigabits(report: &str) -> Result<f64> {
    let report: Value = serde_json::from_str(report).context("iperf3 prints JSON")?;
    let bits = report["end"]["sum_received"]["bits_per_second"].as_f64();
    Ok(bits.context("iperf3 received something")? / 1e9)
}

/// The line of sockperf's report for a percentile, in microseconds.
pub(super) fn sockperf_percentile(report: &str, per_mille: u16) -> Result<f64> {
    let name = format!("percentile {}.{}00", per_mille / 10, per_mille % 10);
    let line = report.lines().find(|line| line.contains(&name));
    let line = line.with_context(|| format!("sockperf prints {name}: {report}"))?;
    let value = line.rsplit('=').next().unwrap_or_default().trim();
    value.parse().with_context(|| format!("sockperf prints numbers: {line}"))
}

/// Thousand `GET` requests per second, of redis-benchmark's table.
pub(super) fn redis_rate(report: &str) -> Result<f64> {
    let line = report.lines().find(|line| line.starts_with("\"GET\""));
    let rate = line
        .and_then(|line| line.split('"').nth(3))
        .with_context(|| format!("redis-benchmark prints a rate: {report}"))?;
    Ok(rate.parse::<f64>()? / 1e3)
}

/// Thousand requests per second, of wrk's report; requests that failed are an error.
pub(super) fn wrk_rate(report: &str) -> Result<f64> {
    if let Some(errors) = report.lines().find(|line| line.contains("Socket errors")) {
        bail!("wrk: {errors}");
    }
    let line = report.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate = line.with_context(|| format!("wrk prints a rate: {report}"))?;
    Ok(rate.trim().parse::<f64>()? / 1e3)
}

/// The latency that so many per cent of the requests did not exceed, in microseconds, of what wrk prints
/// with `--latency`.
pub(super) fn wrk_percentile(report: &str, per_cent: u8) -> Result<f64> {
    let name = format!("{per_cent}%");
    let missing = || format!("wrk prints the latency of {name}: {report}");
    let value = report.lines().find_map(|line| line.trim().strip_prefix(&name));
    let value = value.with_context(missing)?.trim();
    let (number, factor) = [("us", 1.0), ("ms", 1e3), ("s", 1e6)]
        .into_iter()
        .find_map(|(unit, factor)| Some((value.strip_suffix(unit)?, factor)))
        .with_context(missing)?;
    Ok(number.parse::<f64>().with_context(missing)? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_sockperf() {
        let report = "sockperf: ---> percentile 99.000 =   12.345\n\
                      sockperf: ---> percentile 50.000 =    1.250\n";
        let shown = |per_mille| sockperf_percentile(report, per_mille).unwrap().to_string();
        assert_eq!([shown(500), shown(990)], ["1.25", "12.345"]);
        assert!(sockperf_percentile(report, 999).is_err());
    }

    #[test]
    fn rates_and_percentiles_of_wrk() {
        let report = "  1 threads and 50 connections\n  Latency Distribution\n     50%  512.00us\n     \
                      99%    1.25ms\n  100 requests in 1.00s, 1KB read\nRequests/sec:  25000.00\n";
        let shown = |per_cent| wrk_percentile(report, per_cent).unwrap().to_string();
        assert_eq!([shown(50), shown(99)], ["512", "1250"]);
        assert!(wrk_percentile(report, 90).is_err());
        assert_eq!(wrk_rate(report).unwrap().to_string(), "25");
        let failed = format!("{report}  Socket errors: connect 1, read 0, write 0, timeout 0\n");
        assert!(wrk_rate(&failed).unwrap_err().to_string().contains("connect 1"));
    }

    #[test]
    fn rates_of_the_others() {
        let report = "\"test\",\"rps\"\n\"GET\",\"123000.00\",\"0.1\"\n";
        assert_eq!(redis_rate(report).unwrap().to_string(), "123");
        let report = r#"{"end": {"sum_received": {"bits_per_second": 2.5e10}}}"#;
        assert_eq!(iperf3_gigabits(report).unwrap().to_string(), "25");
        assert!(iperf3_gigabits(r#"{"error": "no way"}"#).is_err());
    }
}
