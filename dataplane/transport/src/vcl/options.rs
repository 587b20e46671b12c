//! How the process of an endpoint attaches to VPP: for the agent to say, and as a command line. Pure.

use std::ffi::OsString;
use std::path::PathBuf;

use vcl_sys::Release;

/// Which VPP an endpoint's process attaches to, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VclAttach {
    /// The app socket of the endpoint's app namespace: a path, or `abstract:NAME`. Whoever can connect to it
    /// can have VPP do anything: no container may reach it.
    pub socket: String,
    /// The name that `show app` of VPP has.
    pub name: String,
    /// VPP's release. A libvppcom of another one is refused.
    pub release: Release,
    /// The libvppcom to load, or else the one of that release in the usual places.
    pub library: Option<PathBuf>,
    /// Bytes that VPP holds for each connection in each direction.
    pub fifo: u32,
}

impl VclAttach {
    /// Bytes of a FIFO, when nobody asks for more: libvppcom's own default.
    pub const FIFO: u32 = 1 << 20;

    /// The arguments that [`from_arguments`](Self::from_arguments) understands.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec![
            "--socket".into(),
            self.socket.clone().into(),
            "--name".into(),
            self.name.clone().into(),
            "--release".into(),
            self.release.to_string().into(),
            "--fifo".into(),
            self.fifo.to_string().into(),
        ];
        if let Some(library) = &self.library {
            all.extend(["--library".into(), library.clone().into()]);
        }
        all
    }

    /// Reads a command line.
    ///
    /// # Errors
    /// [`BadArgument`].
    pub fn from_arguments(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, BadArgument> {
        let (mut socket, mut name, mut release, mut library) = (None, None, None, None);
        let mut fifo = Self::FIFO;
        let mut arguments = arguments.into_iter();
        while let Some(key) = arguments.next() {
            let key = text(key)?;
            let value = arguments.next().ok_or_else(|| BadArgument::NoValue(key.clone()))?;
            match key.as_str() {
                "--socket" => socket = Some(text(value)?),
                "--name" => name = Some(text(value)?),
                "--release" => {
                    let value = text(value)?;
                    release =
                        Some(Release::of_version(&value).ok_or(BadArgument::Value(key, value))?);
                }
                "--fifo" => {
                    let value = text(value)?;
                    fifo = value.parse().map_err(|_| BadArgument::Value(key, value))?;
                }
                "--library" => library = Some(value.into()),
                _ => return Err(BadArgument::Unknown(key)),
            }
        }
        Ok(Self {
            socket: socket.ok_or(BadArgument::Missing("--socket"))?,
            name: name.ok_or(BadArgument::Missing("--name"))?,
            release: release.ok_or(BadArgument::Missing("--release"))?,
            library,
            fifo,
        })
    }
}

fn text(argument: OsString) -> Result<String, BadArgument> {
    argument.into_string().map_err(|it| BadArgument::Unknown(it.display().to_string()))
}

/// Why a command line is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadArgument {
    /// Nobody knows it.
    #[error("{0} is not understood")]
    Unknown(String),
    /// It has no value.
    #[error("{0} needs a value")]
    NoValue(String),
    /// Its value means nothing.
    #[error("{0} cannot be {1}")]
    Value(String, String),
    /// It is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attach(library: Option<&str>) -> VclAttach {
        VclAttach {
            socket: "/run/vpp/app_ns_sockets/ep-1".to_owned(),
            name: "dockervpp-ep-1".to_owned(),
            release: Release::new(26, 6),
            library: library.map(Into::into),
            fifo: 4 << 20,
        }
    }

    #[test]
    fn arguments_go_both_ways() {
        for attach in [attach(None), attach(Some("/opt/vpp/lib/libvppcom.so"))] {
            assert_eq!(VclAttach::from_arguments(attach.arguments()), Ok(attach));
        }
    }

    #[test]
    fn arguments_that_are_wrong_are_named() {
        let error = |line: &str| {
            VclAttach::from_arguments(line.split_whitespace().map(OsString::from))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(error("--socket /s --name n"), "--release is missing");
        assert_eq!(error("--release 7"), "--release cannot be 7");
        assert_eq!(error("--fifo -1"), "--fifo cannot be -1");
        assert_eq!(error("--name"), "--name needs a value");
        assert_eq!(error("--what 1"), "--what is not understood");
    }
}
