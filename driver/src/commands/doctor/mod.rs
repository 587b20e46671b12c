//! `dockervpp doctor`: what this host lacks, what that means, and the command that helps.
//!
//! [`probe`] looks and changes nothing, [`findings`] judges what was seen and is pure.

pub mod findings;
pub mod probe;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use self::findings::{Finding, Verdict, judge};
use crate::cli::{CONTROL_SOCKET, DOCKER_SOCKET, PLUGIN_SOCKET, STATE_DIR};

/// `doctor`
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 no problem found (there may be warnings), 1 a problem, 2 wrong usage."
)]
pub struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Socket of Docker's API.
    #[arg(long, value_name = "PATH", default_value = DOCKER_SOCKET)]
    pub docker_socket: PathBuf,
    /// Socket on which Docker finds the driver.
    #[arg(long, value_name = "PATH", default_value = PLUGIN_SOCKET)]
    pub plugin_socket: PathBuf,
    /// Socket of the agent's own API.
    #[arg(long, value_name = "PATH", default_value = CONTROL_SOCKET)]
    pub control_socket: PathBuf,
    /// Directory of the agent's state.
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub state_dir: PathBuf,
}

/// Looks, prints, and fails if there is a problem.
pub fn run(arguments: &DoctorArgs) -> ExitCode {
    let findings = judge(&probe::look(arguments));
    let text = if arguments.json { json(&findings) } else { plain(&findings) };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("cannot print the findings: {error}");
            ExitCode::FAILURE
        }
        _ if count(&findings, Verdict::Problem) > 0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings.iter().filter(|finding| finding.verdict == verdict).count()
}

#[derive(Serialize)]
struct Report<'a> {
    problems: usize,
    warnings: usize,
    findings: &'a [Finding],
}

fn json(findings: &[Finding]) -> String {
    let report = Report {
        problems: count(findings, Verdict::Problem),
        warnings: count(findings, Verdict::Warning),
        findings,
    };
    let mut text = serde_json::to_string_pretty(&report)
        .expect("strings, numbers and structures are always JSON");
    text.push('\n');
    text
}

fn plain(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let verdict = finding.verdict.name();
        line(&mut text, format_args!("{verdict:<8} {:<width$}  {}", finding.check, finding.seen));
        let further = [("means", &finding.means), ("fix", &finding.fix)];
        for (label, words) in further {
            if let Some(words) = words {
                line(&mut text, format_args!("{:width$}           {label}: {words}", ""));
            }
        }
    }
    let (problems, warnings) =
        (count(findings, Verdict::Problem), count(findings, Verdict::Warning));
    line(
        &mut text,
        format_args!("\n{}, {}", counted(problems, "problem"), counted(warnings, "warning")),
    );
    text
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{words}");
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok("one", "fine"),
            Finding::new(Verdict::Problem, "second", "broken").means("it hurts").fix("repair it"),
        ]
    }

    #[test]
    fn the_text_names_the_fix_and_counts() {
        let expected = "\
ok       one     fine
problem  second  broken
                 means: it hurts
                 fix: repair it

1 problem, 0 warnings
";
        assert_eq!(plain(&findings()), expected);
    }

    #[test]
    fn json_has_the_same_in_keys() {
        let report: serde_json::Value = serde_json::from_str(&json(&findings())).unwrap();
        assert_eq!(report["problems"], 1);
        assert_eq!(report["findings"][1]["verdict"], "problem");
        assert_eq!(report["findings"][1]["fix"], "repair it");
        assert_eq!(report["findings"][0]["fix"], serde_json::Value::Null);
    }
}
