//! Messages on a socket: 16 bytes of header, of which only the length means something to a peer, then the message
//! (VPP 26.06, `src/vlibapi/api_common.h`: `msgbuf_t`).

use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

/// Size of the header, in bytes.
const HEADER: usize = 16;

/// Where the length is in the header: a big-endian number of 32 bits.
const LENGTH_AT: usize = 8;

/// Longest message that is believed, in bytes.
const LONGEST: usize = 16 << 20;

/// The next message; `None` when the peer has closed.
pub(super) fn receive(mut from: &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; HEADER];
    match from.read_exact(&mut header) {
        Err(error) if is_over(&error) => return Ok(None),
        other => other?,
    }
    let length = header[LENGTH_AT..LENGTH_AT + 4].try_into().expect("four bytes were taken");
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::other(format!("a message of {length} bytes was announced")));
    }
    let mut message = vec![0; length];
    match from.read_exact(&mut message) {
        Err(error) if is_over(&error) => Ok(None),
        other => other.map(|()| Some(message)),
    }
}

/// A peer that went away shows as any of these.
fn is_over(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

/// Sends a message; a peer that has gone away does not hear it.
pub(super) fn send(mut to: &UnixStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    let mut frame = vec![0; HEADER];
    frame[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    frame.extend(message);
    match to.write_all(&frame) {
        Err(error) if is_over(&error) => Ok(()),
        other => other,
    }
}

/// A socket that is listened on. Dropping it refuses whoever comes.
#[derive(Debug)]
pub(super) struct Listening {
    path: PathBuf,
    listener: UnixListener,
}

impl Listening {
    /// Listens, and gives each connection to `serve` in a thread of its own.
    pub(super) fn start(
        path: &Path,
        serve: impl Fn(UnixStream) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let own = listener.try_clone()?;
        thread::spawn(move || {
            for stream in own.incoming().map_while(Result::ok) {
                let serve = serve.clone();
                thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { path: path.to_owned(), listener })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Ends `accept` too. What cannot be removed goes with its folder.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn messages_are_sent_and_received_until_the_peer_closes() {
        let (one, two) = UnixStream::pair().unwrap();
        for message in [&b"a message"[..], b""] {
            send(&one, message).unwrap();
            assert_eq!(receive(&two).unwrap().unwrap(), message);
        }
        drop(one);
        assert_eq!(receive(&two).unwrap(), None);
        send(&two, b"nobody hears this").unwrap();
    }

    #[test]
    fn who_comes_after_the_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        for _ in 0..2 {
            let (came, seen) = mpsc::channel();
            let listening = Listening::start(&path, move |_| came.send(()).unwrap()).unwrap();
            UnixStream::connect(&path).unwrap();
            seen.recv().unwrap();
            drop(listening);
            assert!(UnixStream::connect(&path).is_err());
        }
    }
}
