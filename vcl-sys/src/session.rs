//! Sessions: VPP's sockets.

use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::AtomicU8;

use crate::abi::SessionHandle;
use crate::error::{CallError, ErrorKind};
use crate::worker::{Thread, would_block};
use crate::{Attribute, CertKey, Protocol};

/// The pair of VPP's that has neither certificate nor key (v26.06 `tls_openssl.c`, `openssl_ctx_init_client`).
const NO_PAIR: u32 = 0;

/// A session of a worker: a listener, a connection, or a UDP port. It never blocks, and is closed when it is
/// dropped; what was written is still sent then.
#[derive(Debug)]
pub struct Session {
    thread: Rc<Thread>,
    handle: SessionHandle,
}

impl Session {
    pub(crate) fn new(thread: &Rc<Thread>, handle: SessionHandle) -> Self {
        Self { thread: Rc::clone(thread), handle }
    }

    /// Its handle, for [`Symbols`](crate::Symbols).
    pub fn handle(&self) -> SessionHandle {
        self.handle
    }

    /// Gives it a local address. A UDP session can receive from now on.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn bind(&self, local: SocketAddr) -> Result<(), CallError> {
        self.thread.calls.bind(self.handle, local)
    }

    /// Listens at the address that it was bound to. Waits for VPP's answer, looking every 100 µs, for at most
    /// [`Config::patience`](crate::Config::patience). VPP knows no limit of connections that wait.
    ///
    /// # Errors
    /// [`ErrorKind::AddressInUse`]; [`ErrorKind::Refused`] for whatever else VPP minds, such as an address
    /// that is none of the namespace's; [`ErrorKind::TimedOut`].
    pub fn listen(&self) -> Result<(), CallError> {
        self.thread.calls.listen(self.handle, 0)
    }

    /// Takes a connection that waits, and its peer's address; `None` when none waits.
    ///
    /// # Errors
    /// [`ErrorKind::Aborted`] for a connection that went already: there may be others.
    pub fn accept(&self) -> Result<Option<(Self, SocketAddr)>, CallError> {
        match self.thread.calls.accept(self.handle) {
            Ok((handle, peer)) => Ok(Some((Self::new(&self.thread, handle), peer))),
            Err(error) if would_block(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins to connect. [`Epoll`](crate::Epoll) reports the session writable when it is connected, and as
    /// hung up when it failed; [`error`](Self::error) says why.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn connect(&self, to: SocketAddr) -> Result<(), CallError> {
        in_progress(self.thread.calls.connect(self.handle, to))
    }

    /// Begins to open a stream of a connection (QUIC, HTTP).
    ///
    /// # Errors
    /// [`CallError`].
    pub fn connect_stream(&self, connection: &Self) -> Result<(), CallError> {
        in_progress(self.thread.calls.stream_connect(self.handle, connection.handle))
    }

    /// Why connecting or listening failed; `None` when nothing failed.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] before v22.10.
    pub fn error(&self) -> Result<Option<CallError>, CallError> {
        match self.thread.calls.error(self.handle) {
            Some(Ok(())) => Ok(None),
            Some(Err(error)) => Ok(Some(error)),
            None => Err(CallError::missing("vppcom_session_get_error")),
        }
    }

    /// Reads; 0 after the peer's last byte.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`], [`ErrorKind::Reset`], [`ErrorKind::NotConnected`].
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, CallError> {
        self.thread.calls.read(self.handle, buffer)
    }

    /// As [`read`](Self::read), straight into memory that is shared with others, who may read and change it at
    /// any time.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_shared(&self, buffer: &[AtomicU8]) -> Result<usize, CallError> {
        self.thread.calls.read_shared(self.handle, buffer)
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`], [`ErrorKind::Reset`], [`ErrorKind::Ended`], [`ErrorKind::NotConnected`].
    pub fn write(&self, data: &[u8]) -> Result<usize, CallError> {
        self.thread.calls.write(self.handle, data, false)
    }

    /// As [`write`](Self::write), straight from memory that is shared with others: what they change meanwhile may
    /// be sent changed or not.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_shared(&self, data: &[AtomicU8]) -> Result<usize, CallError> {
        self.thread.calls.write_shared(self.handle, data)
    }

    /// As [`write`](Self::write), and VPP is to send it at once.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_and_flush(&self, data: &[u8]) -> Result<usize, CallError> {
        self.thread.calls.write(self.handle, data, true)
    }

    /// Reads a datagram, and tells its sender.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn receive_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), CallError> {
        self.thread.calls.receive(self.handle, buffer, false)
    }

    /// As [`receive_from`](Self::receive_from), and leaves it there.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn peek_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), CallError> {
        self.thread.calls.receive(self.handle, buffer, true)
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// As [`write`](Self::write); [`ErrorKind::Invalid`] on a connected stream.
    pub fn send_to(&self, data: &[u8], to: SocketAddr) -> Result<usize, CallError> {
        self.thread.calls.send(self.handle, data, to)
    }

    /// Ends one direction or both. What was written is still sent. Once the peer ended its direction, VPP
    /// tells it of the end of this one only when the session is closed (v26.06).
    ///
    /// # Errors
    /// [`CallError`].
    pub fn shutdown(&self, how: Shutdown) -> Result<(), CallError> {
        let how = match how {
            Shutdown::Read => libc::SHUT_RD,
            Shutdown::Write => libc::SHUT_WR,
            Shutdown::Both => libc::SHUT_RDWR,
        };
        self.thread.calls.shutdown(self.handle, how)
    }

    /// Resets the connection instead of closing it.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] before v26.02.
    pub fn terminate(&self) -> Result<(), CallError> {
        self.thread.calls.terminate(self.handle)
    }

    /// Bytes, or connections, that wait to be read.
    ///
    /// # Errors
    /// [`ErrorKind::Reset`], [`ErrorKind::NotConnected`].
    pub fn readable(&self) -> Result<usize, CallError> {
        self.thread.calls.amount(self.handle, Attribute::NRead)
    }

    /// Room for bytes to be written.
    ///
    /// # Errors
    /// [`ErrorKind::Reset`], [`ErrorKind::NotConnected`].
    pub fn writable(&self) -> Result<usize, CallError> {
        self.thread.calls.amount(self.handle, Attribute::NWrite)
    }

    /// The own address.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn local_addr(&self) -> Result<SocketAddr, CallError> {
        self.thread.calls.address(self.handle, Attribute::GetLocalAddr)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn peer_addr(&self) -> Result<SocketAddr, CallError> {
        self.thread.calls.address(self.handle, Attribute::GetPeerAddr)
    }

    /// The destination of a connection before it was translated; IPv4 only.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] before v23.10.
    pub fn original_destination(&self) -> Result<SocketAddr, CallError> {
        self.thread.calls.address(self.handle, Attribute::GetOriginalDestination)
    }

    /// Its protocol; `None` for one that this crate does not know.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn protocol(&self) -> Result<Option<Protocol>, CallError> {
        let number = self.attribute(Attribute::GetProtocol)?;
        Ok(u8::try_from(number).ok().and_then(Protocol::from_number))
    }

    /// An attribute that is a number.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] when the release does not have it, [`ErrorKind::Invalid`] when it is no such
    /// attribute.
    pub fn attribute(&self, attribute: Attribute) -> Result<u32, CallError> {
        if !is_readable_number(attribute) {
            return Err(CallError::new("vppcom_session_attr", -libc::EINVAL));
        }
        self.thread.calls.number(self.handle, attribute)
    }

    /// Sets an attribute that is a number.
    ///
    /// # Errors
    /// As [`attribute`](Self::attribute).
    pub fn set_attribute(&self, attribute: Attribute, value: u32) -> Result<(), CallError> {
        if !is_settable_number(attribute) {
            return Err(CallError::new("vppcom_session_attr", -libc::EINVAL));
        }
        self.thread.calls.set_number(self.handle, attribute, value)
    }

    /// Has a TLS session show this certificate.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for sessions without TLS.
    pub fn set_cert_key(&self, pair: &CertKey) -> Result<(), CallError> {
        self.thread.calls.set_number(self.handle, Attribute::SetCertKeyPair, pair.index())
    }

    /// Has a TLS session show no certificate, as most clients do. VPP refuses a connect of TLS for which neither this was
    /// called nor [`set_cert_key`](Self::set_cert_key) (v26.06 `tls.c`: `SESSION_E_NOEXTCFG`).
    ///
    /// # Errors
    /// As [`set_cert_key`](Self::set_cert_key).
    pub fn set_no_cert_key(&self) -> Result<(), CallError> {
        self.thread.calls.set_number(self.handle, Attribute::SetCertKeyPair, NO_PAIR)
    }

    pub(crate) fn is_of(&self, thread: &Rc<Thread>) -> bool {
        Rc::ptr_eq(&self.thread, thread)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.thread.is_here() {
            // Fails for sessions that VPP ended, which it frees by itself.
            let _ = self.thread.calls.close(self.handle);
        }
    }
}

/// The library says by an error that it began.
fn in_progress(result: Result<(), CallError>) -> Result<(), CallError> {
    match result {
        Err(error) if error.kind() == ErrorKind::InProgress => Ok(()),
        other => other,
    }
}

/// Attributes whose value is a number of 4 bytes that the library fills in.
fn is_readable_number(attribute: Attribute) -> bool {
    use Attribute as A;
    matches!(
        attribute,
        A::GetFlags
            | A::GetProtocol
            | A::GetListen
            | A::GetError
            | A::GetTxFifoLen
            | A::GetRxFifoLen
            | A::GetReuseAddr
            | A::GetReusePort
            | A::GetBroadcast
            | A::GetV6Only
            | A::GetKeepAlive
            | A::GetTcpNoDelay
            | A::GetTcpKeepIdle
            | A::GetTcpKeepInterval
            | A::GetTcpUserMss
            | A::GetVrf
            | A::GetDomain
            | A::GetIpPacketInfo
            | A::NWriteQueued
            | A::GetStreamFlags
    )
}

/// Attributes that a number of 4 bytes sets. Those that only take a number are among them; addresses and
/// structures are not.
fn is_settable_number(attribute: Attribute) -> bool {
    use Attribute as A;
    matches!(
        attribute,
        A::SetFlags
            | A::SetTxFifoLen
            | A::SetRxFifoLen
            | A::SetReuseAddr
            | A::SetReusePort
            | A::SetBroadcast
            | A::SetV6Only
            | A::SetKeepAlive
            | A::SetTcpNoDelay
            | A::SetTcpKeepIdle
            | A::SetTcpKeepInterval
            | A::SetTcpUserMss
            | A::SetConnected
            | A::SetVrf
            | A::SetDscp
            | A::SetIpPacketInfo
            | A::SetStreamFlags
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_attribute_is_read_and_set() {
        for attribute in Attribute::ALL {
            let both = is_readable_number(*attribute) && is_settable_number(*attribute);
            assert!(!both, "{attribute:?}");
        }
    }

    #[test]
    fn structures_and_addresses_are_no_numbers() {
        for attribute in [
            Attribute::GetLocalAddr,
            Attribute::GetOriginalDestination,
            Attribute::SetExtendedConfig,
            Attribute::SetLocalAddr,
            Attribute::GetCookie,
        ] {
            assert!(!is_readable_number(attribute) && !is_settable_number(attribute));
        }
    }
}
