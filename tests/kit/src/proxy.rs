//! A relay between Docker and the agent, to stop the world at an exact step of a call.
//!
//! It listens where Docker looks for the driver and relays whole requests and replies. A test says
//! at which call, and at which moment of it, something happens; the relay then does it (kills the
//! agent, say) before it goes on. A call that finds no agent ends with a closed connection, as
//! Docker would see it without the relay.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};

/// A moment of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Docker asked; the agent has not heard it.
    BeforeRequest,
    /// The agent was asked and has answered; Docker will not hear it.
    ReplyLost,
    /// Docker has the answer.
    AfterReply,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BeforeRequest, Self::ReplyLost, Self::AfterReply];
}

/// What happens once, at one moment of the next call of one method.
struct Trap {
    method: String,
    moment: Moment,
    action: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct Shared {
    trap: Option<Trap>,
    calls: Vec<String>,
}

/// The relay; dropping it removes its socket.
pub struct Proxy {
    front: PathBuf,
    shared: Arc<Mutex<Shared>>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("front", &self.front).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Listens on `front` and relays to whoever listens on `back`.
    pub fn start(front: &Path, back: &Path) -> Result<Self> {
        if let Some(folder) = front.parent() {
            fs::create_dir_all(folder)?;
        }
        let listener = UnixListener::bind(front)
            .with_context(|| format!("cannot listen on {}", front.display()))?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (relay, back) = (Arc::clone(&shared), back.to_owned());
        thread::spawn(move || {
            for docker in listener.incoming().map_while(Result::ok) {
                let (relay, back) = (Arc::clone(&relay), back.clone());
                // An error ends this connection only, as it would without the relay.
                thread::spawn(move || serve(docker, &back, &relay));
            }
        });
        Ok(Self { front: front.to_owned(), shared })
    }

    /// Does `action` once, at `moment` of the next call of `method` (as in `NetworkDriver.Join`).
    pub fn trap(&self, method: &str, moment: Moment, action: impl FnOnce() + Send + 'static) {
        let action = Box::new(action);
        lock(&self.shared).trap = Some(Trap { method: method.to_owned(), moment, action });
    }

    /// Whether the trap is still set.
    pub fn is_armed(&self) -> bool {
        lock(&self.shared).trap.is_some()
    }

    /// The methods that Docker called so far.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.shared).calls.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.front);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Springs the trap when this is its call and moment.
fn spring(shared: &Mutex<Shared>, method: &str, moment: Moment) -> bool {
    let mut held = lock(shared);
    if !held.trap.as_ref().is_some_and(|it| it.method == method && it.moment == moment) {
        return false;
    }
    let trap = held.trap.take();
    drop(held);
    if let Some(trap) = trap {
        (trap.action)();
    }
    true
}

/// Relays the calls of one connection, one after the other.
fn serve(docker: UnixStream, back: &Path, shared: &Mutex<Shared>) -> Result<()> {
    let mut requests = BufReader::new(docker.try_clone()?);
    let mut docker = docker;
    while let Some(request) = read_message(&mut requests)? {
        let method = method_of(&request)?;
        lock(shared).calls.push(method.clone());
        if spring(shared, &method, Moment::BeforeRequest) {
            bail!("{method}: the connection ends before the request");
        }
        let mut agent = UnixStream::connect(back)?;
        agent.write_all(&request)?;
        let reply = read_message(&mut BufReader::new(agent))?.context("no reply")?;
        if spring(shared, &method, Moment::ReplyLost) {
            bail!("{method}: the reply is lost");
        }
        docker.write_all(&reply)?;
        spring(shared, &method, Moment::AfterReply);
    }
    Ok(())
}

/// `NetworkDriver.Join` of `POST /NetworkDriver.Join HTTP/1.1`.
fn method_of(request: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(request);
    let path = text.split(' ').nth(1).context("a request has a path")?;
    Ok(path.trim_start_matches('/').to_owned())
}

/// One whole HTTP/1.1 message; `None` at the end of the stream.
fn read_message(stream: &mut BufReader<UnixStream>) -> Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    let mut length = 0;
    let mut chunked = false;
    loop {
        let start = message.len();
        if stream.read_until(b'\n', &mut message)? == 0 {
            return if start == 0 { Ok(None) } else { bail!("the message is cut off") };
        }
        let line = String::from_utf8_lossy(&message[start..]).trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
    }
    if chunked {
        read_chunks(stream, &mut message)?;
    } else {
        let start = message.len();
        message.resize(start + length, 0);
        stream.read_exact(&mut message[start..])?;
    }
    Ok(Some(message))
}

/// The chunks of a message, as they are.
fn read_chunks(stream: &mut BufReader<UnixStream>, message: &mut Vec<u8>) -> Result<()> {
    loop {
        let start = message.len();
        stream.read_until(b'\n', message)?;
        let size = String::from_utf8_lossy(&message[start..]).trim().to_owned();
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16)?;
        let body = message.len();
        message.resize(body + size + 2, 0);
        stream.read_exact(&mut message[body..])?;
        if size == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(front: &Path, method: &str) -> Result<String> {
        let mut stream = UnixStream::connect(front)?;
        let body = "{}";
        write!(stream, "POST /{method} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        let reply = read_message(&mut BufReader::new(stream))?.context("no reply")?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    }

    fn answer_all(back: &Path) -> Result<()> {
        let listener = UnixListener::bind(back)?;
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream);
                let request = read_message(&mut reader).unwrap().unwrap();
                assert!(request.ends_with(b"{}"));
                let reply =
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
                reader.get_mut().write_all(reply).unwrap();
            }
        });
        Ok(())
    }

    #[test]
    fn relays_and_springs_once() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (front, back) = (folder.path().join("front"), folder.path().join("back"));
        answer_all(&back)?;
        let proxy = Proxy::start(&front, &back)?;
        assert!(ask(&front, "A.B")?.contains("{}"));
        for moment in [Moment::BeforeRequest, Moment::ReplyLost] {
            proxy.trap("A.B", moment, || {});
            assert!(ask(&front, "A.C").is_ok());
            assert!(proxy.is_armed());
            assert!(ask(&front, "A.B").is_err());
            assert!(!proxy.is_armed());
            assert!(ask(&front, "A.B").is_ok());
        }
        assert_eq!(proxy.calls().len(), 7);
        Ok(())
    }
}
