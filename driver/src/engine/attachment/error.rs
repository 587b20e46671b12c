//! The errors of the host layer and the TAP, as the engine reports them.

use std::io;

use dataplane::DataplaneError;
use dataplane::tap::TapError;

use crate::engine::EngineError;
use crate::host::link::LinkError;
use crate::host::netns::NetnsError;
use crate::host::socket::ListenError;

pub(in crate::engine) fn from_link(error: LinkError) -> EngineError {
    EngineError::Io { what: error.to_string(), source: error.into_source() }
}

pub(in crate::engine) fn from_netns(error: NetnsError) -> EngineError {
    let what = error.to_string();
    let (NetnsError::Open { source, .. }
    | NetnsError::Enter { source, .. }
    | NetnsError::Thread { source, .. }) = error;
    EngineError::Io { what, source }
}

pub(in crate::engine) fn from_listen(error: ListenError) -> EngineError {
    let what = error.to_string();
    let source = match error {
        ListenError::Io { source, .. } => source,
        ListenError::Taken(_) => io::ErrorKind::AddrInUse.into(),
    };
    EngineError::Io { what, source }
}

pub(in crate::engine) fn from_tap(error: TapError) -> EngineError {
    let what = error.to_string();
    match error {
        TapError::NoDriver(source) => EngineError::Host {
            what: format!("/dev/net/tun cannot be opened: {source}"),
            remedy: "load the driver with `modprobe tun`, or give the agent's container \
                     `--device /dev/net/tun`"
                .to_owned(),
        },
        TapError::NotPermitted { source, .. }
        | TapError::NameInUse { source, .. }
        | TapError::Io { source, .. } => EngineError::Io { what, source },
        _ => EngineError::Io { what, source: io::ErrorKind::InvalidInput.into() },
    }
}

/// A port that is not there any more has nothing open.
pub(super) fn none_if_gone(outcome: Result<(), DataplaneError>) -> Result<(), EngineError> {
    match outcome {
        Err(DataplaneError::NoPort(_)) => Ok(()),
        outcome => Ok(outcome?),
    }
}
