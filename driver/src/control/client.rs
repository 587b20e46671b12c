//! The client's side of the agent's own API, for the command line.

use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use miette::Diagnostic;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{CAPTURE_HEADER, Failure};

/// Why the agent did not answer as asked.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ClientError {
    /// Nobody listens.
    #[error("the agent is not running: nobody listens on {path}")]
    #[diagnostic(
        code(dockervpp::control::not_running),
        help(
            "start it with `dockervpp serve` (as a service: `systemctl start dockervpp`), or name its socket with --control-socket"
        )
    )]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The socket is not ours to open.
    #[error("cannot connect to the agent at {path}")]
    #[diagnostic(code(dockervpp::control::connect), help("its socket is open to root only"))]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The agent refused.
    #[error("{0}")]
    #[diagnostic(code(dockervpp::control::refused))]
    Refused(String),
    /// The conversation broke off.
    #[error("the agent stopped answering")]
    #[diagnostic(code(dockervpp::control::broken), help("its log says why"))]
    Broken(#[from] hyper::Error),
    /// The answer is not of this version of the API.
    #[error("the agent's answer cannot be read")]
    #[diagnostic(
        code(dockervpp::control::answer),
        help("is the agent of another version? Restart it after an upgrade")
    )]
    Answer(#[from] serde_json::Error),
}

/// Talks to the agent behind one socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// A capture that runs in the agent.
#[derive(Debug)]
pub struct CaptureStream {
    /// Its number, for [`Client::stop_capture`].
    pub number: Option<u64>,
    body: Incoming,
}

impl CaptureStream {
    /// The next bytes of the file; `None` when it is complete.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

impl Client {
    /// A client of the agent behind `socket`.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Reads from `path`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let body = self.call(Method::GET, path).await?.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }

    /// Removes `path`.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, path).await.map(drop)
    }

    /// Starts a capture; `query` is that of `/v1/capture`.
    pub async fn capture(&self, query: &str) -> Result<CaptureStream, ClientError> {
        let response = self.call(Method::GET, &format!("/v1/capture?{query}")).await?;
        let number = response.headers().get(CAPTURE_HEADER);
        let number = number.and_then(|number| number.to_str().ok()?.parse().ok());
        Ok(CaptureStream { number, body: response.into_body() })
    }

    /// Asks a capture to end; its stream ends after the last frames.
    pub async fn stop_capture(&self, number: u64) -> Result<(), ClientError> {
        self.delete(&format!("/v1/captures/{number}")).await
    }

    async fn call(&self, method: Method, path: &str) -> Result<Response<Incoming>, ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| {
            let path = self.socket.clone();
            match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NotRunning { path, source }
                }
                _ => ClientError::Connect { path, source },
            }
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the answer's body; its errors show there as well.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "dockervpp")
            .body(Empty::<Bytes>::new())
            .map_err(|error| ClientError::Refused(format!("`{path}` is no path: {error}")))?;
        let response = sender.send_request(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Err(ClientError::Refused(refusal(status, &body)))
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> String {
    serde_json::from_slice::<Failure>(body)
        .map_or_else(|_| format!("the agent answered {status}"), |failure| failure.error)
}

/// `text` as it may stand in a path or query: what is not a letter or digit, `-` or `_` as `%XX`.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let escape = |byte| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_characters_stay() {
        assert_eq!(escaped("3f_2-A"), "3f_2-A");
        assert_eq!(escaped("a/b ?é"), "a%2Fb%20%3F%C3%A9");
    }
}
