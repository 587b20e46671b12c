//! Datagrams that the agent passes on: a socket for each client, so that answers find back.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::any_of;

/// A client from and to which nothing came for so long is forgotten.
const IDLE: Duration = Duration::from_secs(90);

/// Datagrams of a client that wait for the endpoint; more are lost, as elsewhere.
const WAITING: usize = 64;

/// Clients of one port.
const CLIENTS: usize = 1024;

/// The longest datagram.
const LONGEST: usize = 65_535;

const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is aborted. Without `inside` all is lost.
pub(super) async fn serve(socket: UdpSocket, inside: Option<SocketAddr>, served: Arc<Semaphore>) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, Sender<Vec<u8>>> = HashMap::new();
    let mut flows = JoinSet::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let (length, client) = tokio::select! {
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                // An answer that could not be delivered; or no memory, for a moment.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            },
            Some(_) = flows.join_next() => {
                clients.retain(|_, sender| !sender.is_closed());
                continue;
            }
        };
        let Some(inside) = inside else { continue };
        let datagram = buffer[..length].to_vec();
        let Some(datagram) = to_known(&clients, client, datagram) else { continue };
        let Ok(permit) = Arc::clone(&served).try_acquire_owned() else { continue };
        if clients.len() >= CLIENTS {
            continue;
        }
        let (sender, receiver) = channel(WAITING);
        // There is room: the channel is new.
        let _ = sender.try_send(datagram);
        clients.insert(client, sender);
        flows.spawn(pass_on(Arc::clone(&socket), client, inside, receiver, permit));
    }
}

/// Gives a datagram to the flow of its client; gives it back when there is none.
fn to_known(
    clients: &HashMap<SocketAddr, Sender<Vec<u8>>>,
    client: SocketAddr,
    datagram: Vec<u8>,
) -> Option<Vec<u8>> {
    use tokio::sync::mpsc::error::TrySendError;
    let Some(flow) = clients.get(&client) else { return Some(datagram) };
    match flow.try_send(datagram) {
        Ok(()) | Err(TrySendError::Full(_)) => None,
        Err(TrySendError::Closed(datagram)) => Some(datagram),
    }
}

/// One client's datagrams, both ways.
async fn pass_on(
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    inside: SocketAddr,
    mut receiver: Receiver<Vec<u8>>,
    _permit: OwnedSemaphorePermit,
) {
    let Ok(own) = UdpSocket::bind(any_of(inside.ip())).await else { return };
    if own.connect(inside).await.is_err() {
        return;
    }
    let mut buffer = vec![0; LONGEST];
    loop {
        let step = async {
            tokio::select! {
                datagram = receiver.recv() => match datagram {
                    // What the endpoint does not take is lost, as elsewhere.
                    Some(datagram) => drop(own.send(&datagram).await),
                    None => return false,
                },
                answer = own.recv(&mut buffer) => {
                    // An error says that nobody listens there: the next datagram may find somebody.
                    if let Ok(length) = answer {
                        let _ = socket.send_to(&buffer[..length], client).await;
                    }
                }
            }
            true
        };
        if !matches!(timeout(IDLE, step).await, Ok(true)) {
            return;
        }
    }
}
