//! Kinds of containers.

/// The ways in which a container can be attached, and what speaks in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The kernel, behind a TAP.
    Tap,
    /// The kernel, at an end of a veth pair.
    Veth,
    /// A packet program.
    Memif,
    /// A program with the preload library, without a kernel interface.
    Session,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Tap, Self::Veth, Self::Memif, Self::Session];

    pub(crate) fn attach(self) -> &'static str {
        match self {
            Self::Tap | Self::Memif => "attach=auto",
            Self::Veth => "attach=veth",
            Self::Session => "attach=userspace",
        }
    }
}
