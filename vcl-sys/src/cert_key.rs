//! Certificates and keys for TLS.

use std::rc::Rc;

use crate::error::CallError;
use crate::worker::Thread;

/// A certificate and its key in VPP, for [`Session::set_cert_key`](crate::Session::set_cert_key). Dropping it
/// takes them back; sessions that listen with it must be gone by then.
#[derive(Debug)]
pub struct CertKey {
    thread: Rc<Thread>,
    index: u32,
}

impl CertKey {
    pub(crate) fn new(thread: &Rc<Thread>, cert: &[u8], key: &[u8]) -> Result<Self, CallError> {
        let index = thread.calls.add_cert_key(cert, key)?;
        Ok(Self { thread: Rc::clone(thread), index })
    }

    /// Its number in VPP.
    pub fn index(&self) -> u32 {
        self.index
    }
}

impl Drop for CertKey {
    fn drop(&mut self) {
        if self.thread.is_here() {
            // Fails when VPP is gone, and the pair with it.
            let _ = self.thread.calls.delete_cert_key(self.index);
        }
    }
}
