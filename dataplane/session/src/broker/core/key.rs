//! Names of what the broker knows.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// An endpoint, as the owner of the broker numbers them.
    EndpointKey
);
number!(
    /// A network, as the owner of the broker numbers them.
    NetworkKey
);
number!(
    /// A listener; never used again in the life of a broker.
    ListenerId
);
number!(
    /// A session; never used again in the life of a broker.
    SessionId
);
