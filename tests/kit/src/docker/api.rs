//! The Engine's own API, for what the command line of one version cannot ask another for.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

const SOCKET: &str = "/var/run/docker.sock";

/// `POST path` with a JSON body; the reply's JSON.
///
/// # Errors
/// With the Engine's words when it refuses.
pub fn post(path: &str, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let mut stream = UnixStream::connect(SOCKET).context(SOCKET)?;
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (head, text) = reply.split_once("\r\n\r\n").context("the reply has no end of header")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status.starts_with('2'), "{path}: {status}: {text}");
    if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(text)?) }
}
