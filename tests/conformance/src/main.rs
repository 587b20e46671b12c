//! One side of the conformance suite.
//!
//! * `conformance one|two OWN4 OWN6 PEER4 PEER6 [CASE]...` runs the cases (all by default) as one of the
//!   two sides, whose standard streams must be connected by whoever started them: a line that one
//!   writes with a leading `> ` is for the other. Lines with a leading `| ` are the record. Cases whose names contain a
//!   word with a leading `-` are left out.
//! * `conformance inherited DESCRIPTOR CASE` and `conformance serving DESCRIPTOR COUNT CASE` are what cases
//!   execute.

use std::env;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use conformance::cases;
use conformance::script::{Host, Role, Script};

const USAGE: &str = "conformance one|two OWN4 OWN6 PEER4 PEER6 [CASE]... | inherited FD CASE \
                     | serving FD COUNT CASE";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["inherited", fd, case] => cases::inherited(fd.parse().context(USAGE)?, case),
        ["serving", fd, count, case] => {
            cases::serving(fd.parse().context(USAGE)?, count.parse().context(USAGE)?, case);
        }
        [role, own4, own6, peer4, peer6, wanted @ ..] => {
            let role = match *role {
                "one" => Role::One,
                "two" => Role::Two,
                _ => bail!("usage: {USAGE}"),
            };
            let host = |v4: &str, v6: &str| {
                anyhow::Ok(Host { v4: v4.parse().context(USAGE)?, v6: v6.parse().context(USAGE)? })
            };
            cases::run(Script::new(role, host(own4, own6)?, host(peer4, peer6)?), wanted);
        }
        _ => bail!("usage: {USAGE}"),
    }
    Ok(())
}
