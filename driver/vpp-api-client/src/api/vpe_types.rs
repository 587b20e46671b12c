//! `vpe_types.api`, version 1.0.0. Written by vpp-api-generator: change that, not this.

use crate::definition::enumeration;

/// `timestamp`.
pub type Timestamp = f64;

enumeration! {
    /// `log_level`.
    pub struct LogLevel(u32) {
        EMERG = 0,
        ALERT = 1,
        CRIT = 2,
        ERR = 3,
        WARNING = 4,
        NOTICE = 5,
        INFO = 6,
        DEBUG = 7,
        DISABLED = 8,
    }
}
