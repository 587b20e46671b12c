//! Opening a connection: the socket, and the registration over it.

use std::path::Path;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::error::{Error, Loss};
use crate::frame::{Deframer, frame};
use crate::handshake::{Unwelcome, Welcome, hello, welcome};
use crate::link::{io_loss, next_message};
use crate::options::Options;

/// Connects and registers. What VPP sent after its welcome is in the [`Deframer`].
pub(crate) async fn open(
    path: &Path,
    options: &Options,
) -> Result<(UnixStream, Deframer, Welcome), Error> {
    let mut socket = UnixStream::connect(path)
        .await
        .map_err(|error| Error::Connect { path: path.to_owned(), source: Arc::new(error) })?;
    let mut stream = Deframer::new(options.longest_message);
    let welcome = register(&mut socket, &mut stream, &options.name).await;
    let welcome = welcome
        .map_err(|what| Error::Handshake { path: path.to_owned(), what: what.to_string() })?;
    Ok((socket, stream, welcome))
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the connection is lost: {0}")]
    Lost(#[from] Loss),
    #[error("{0}")]
    Unwelcome(#[from] Unwelcome),
}

async fn register(
    socket: &mut UnixStream,
    stream: &mut Deframer,
    name: &str,
) -> Result<Welcome, Failure> {
    let hello = frame(&hello(name)?).map_err(Loss::Frame)?;
    socket.write_all(&hello).await.map_err(io_loss)?;
    Ok(welcome(next_message(socket, stream).await?)?)
}
