//! The kinds of endpoints at which a container has its kernel: what holds for one holds for the other.

use anyhow::Result;
use kit::Lab;
use kit::lab::attached_test;

/// How `eth0` of a container comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A TAP.
    Tap,
    /// An end of a veth pair.
    Veth,
}

impl Kind {
    /// The option of networks.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Tap => "attach=auto",
            Self::Veth => "attach=veth",
        }
    }

    /// A test whose networks are of this kind.
    pub(crate) fn test(self, test: impl FnOnce(&mut Lab) -> Result<()>) {
        attached_test(Some(self.option()), &[], test);
    }
}

/// Makes tests of functions that take a kind: one in the module `tap`, one in `veth`.
macro_rules! each_kind {
    ($($case:ident),+ $(,)?) => {
        mod tap {
            $(#[test] fn $case() { super::$case(crate::kinds::Kind::Tap); })+
        }
        mod veth {
            $(#[test] fn $case() { super::$case(crate::kinds::Kind::Veth); })+
        }
    };
}

pub(crate) use each_kind;
