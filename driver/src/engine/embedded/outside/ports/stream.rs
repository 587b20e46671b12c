//! TCP connections that the agent passes on: a connection of its own to the endpoint, and bytes from one
//! to the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long the endpoint may take to accept.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing is accepted after that failed, most likely for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is aborted, and all connections end with it. Without `inside` nobody is served.
pub(super) async fn serve(
    listener: TcpListener,
    inside: Option<SocketAddr>,
    served: Arc<Semaphore>,
) {
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(error) => {
                    tracing::debug!(%error, "a published port accepts nothing for a moment");
                    sleep(PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        match (inside, Arc::clone(&served).try_acquire_owned()) {
            (Some(inside), Ok(permit)) => {
                connections.spawn(async move {
                    pass_on(client, inside).await;
                    drop(permit);
                });
            }
            _ => reset(client),
        }
    }
}

async fn pass_on(mut client: TcpStream, inside: SocketAddr) {
    match timeout(PATIENCE, TcpStream::connect(inside)).await {
        Ok(Ok(mut server)) => {
            // How a connection ends is told to both sides by the kernel.
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
        Ok(Err(_)) | Err(_) => reset(client),
    }
}

/// Ends a connection so that the other side sees that nobody was there.
fn reset(client: TcpStream) {
    // Without it the end is an ordinary one.
    let _ = sockopt::set_socket_linger(&client, Some(Duration::ZERO));
    drop(client);
}
