//! Which engine the agents under test run: `DOCKERVPP_TEST_ENGINE` names it. `DOCKERVPP_TEST_TCP` names the option
//! `tcp` of their networks.

use std::env;

use crate::need;

/// Names the engine.
const VARIABLE: &str = "DOCKERVPP_TEST_ENGINE";

/// Names what carries TCP of endpoints without a kernel interface.
const TCP: &str = "DOCKERVPP_TEST_TCP";

/// The option of networks that the environment asks for, as `docker network create` takes it.
///
/// # Panics
/// If it names a value that does not exist.
pub fn tcp_option() -> Option<&'static str> {
    match env::var(TCP).as_deref() {
        Ok("vcl") => Some("tcp=vcl"),
        Ok("stack") => Some("tcp=stack"),
        Ok("") | Err(_) => None,
        Ok(other) => panic!("{TCP}={other}: it is `stack` or `vcl`"),
    }
}

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The agent's own.
    Embedded,
    /// A VPP of the agent's own.
    Vpp,
}

impl Engine {
    /// The engine that the environment names; `embedded` if it names none.
    ///
    /// # Panics
    /// If it names one that does not exist: something else would be tested than was asked for.
    pub fn under_test() -> Self {
        match env::var(VARIABLE).as_deref() {
            Ok("vpp") => Self::Vpp,
            Ok("embedded" | "") | Err(_) => Self::Embedded,
            Ok(other) => panic!("{VARIABLE}={other}: it is `embedded` or `vpp`"),
        }
    }

    /// Whether the suites run on this one. If not, says `skipped: …` with `why`, and returns `false`: in pipelines too,
    /// since a test that is of one engine is no part of a run on another.
    pub fn needed(self, why: &str) -> bool {
        let met = Self::under_test() == self;
        if !met {
            need::skip(&format!("of the engine {} only: {why}", self.name()));
        }
        met
    }

    /// As in `--engine`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Vpp => "vpp",
        }
    }
}
