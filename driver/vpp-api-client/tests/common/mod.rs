//! A VPP that a test plays: it registers clients, and says and hears what the test wants.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use vpp_api_client::api::memclnt::{MessageTableEntry, SockclntCreateReply};
use vpp_api_client::message::{Addressing, decode, encode};
use vpp_api_client::{Client, Error, Identity, Message, Options};

/// What the played VPP calls its client.
pub(crate) const CLIENT_INDEX: u32 = 77;

/// The played VPP's side of one connection.
pub(crate) struct Peer {
    socket: UnixStream,
    keys: Vec<&'static str>,
}

/// A message that a client sent.
pub(crate) struct Heard {
    bytes: Vec<u8>,
}

impl Peer {
    /// A client that is connected to a VPP that knows `messages`.
    pub(crate) async fn connected(messages: &[Identity], options: Options) -> (Client, Self) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("api.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let keys = messages.iter().map(|it| it.key).collect();
        let (client, peer) =
            tokio::join!(Client::connect_with(&path, options), Self::accept(&listener, keys));
        (client.expect("the client is registered"), peer)
    }

    async fn accept(listener: &UnixListener, keys: Vec<&'static str>) -> Self {
        let (socket, _) = listener.accept().await.expect("a client");
        let mut peer = Self { socket, keys };
        let hello = peer.hear().await;
        assert_eq!(hello.id(), 15);
        let entry = |(index, key): (u16, &&str)| MessageTableEntry {
            index,
            name: (*key).try_into().expect("keys are short"),
        };
        let message_table = (100..).zip(&peer.keys).map(entry).collect();
        let reply = SockclntCreateReply { response: 0, index: CLIENT_INDEX, message_table };
        let addressing = Addressing { id: 16, client_index: 0, context: hello.word(2) };
        peer.send(&encode(&reply, addressing).expect("it fits")).await;
        peer
    }

    /// The number of a message.
    pub(crate) fn number<M: Message>(&self) -> u16 {
        let at = self.keys.iter().position(|it| *it == M::KEY);
        100 + u16::try_from(at.expect("the test knows the message")).expect("few messages")
    }

    /// Says a message.
    pub(crate) async fn say<M: Message>(&mut self, message: &M, context: u32) {
        let addressing = Addressing { id: self.number::<M>(), client_index: CLIENT_INDEX, context };
        self.send(&encode(message, addressing).expect("it fits")).await;
    }

    /// Sends bytes as one message.
    pub(crate) async fn send(&mut self, message: &[u8]) {
        let mut frame = vec![0; 16];
        let length = u32::try_from(message.len()).expect("short");
        frame[8..12].copy_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(message);
        self.send_raw(&frame).await;
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("the client reads");
    }

    /// The next message of the client.
    pub(crate) async fn hear(&mut self) -> Heard {
        let mut header = [0; 16];
        self.socket.read_exact(&mut header).await.expect("a header");
        let length = u32::from_be_bytes(header[8..12].try_into().expect("four bytes"));
        let mut bytes = vec![0; length as usize];
        self.socket.read_exact(&mut bytes).await.expect("a message");
        Heard { bytes }
    }

    /// The next message of the client, which is an `M`, and its context.
    pub(crate) async fn expect<M: Message>(&mut self) -> (M, u32) {
        let heard = self.hear().await;
        assert_eq!(heard.id(), self.number::<M>(), "{} was expected", M::NAME);
        assert_eq!(heard.word(2), CLIENT_INDEX, "requests say who asks");
        (decode(&heard.bytes).expect("a sound message"), heard.word(6))
    }

    /// Waits until the client is gone.
    pub(crate) async fn until_gone(&mut self) {
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).await.expect("the end");
    }
}

impl Heard {
    pub(crate) fn id(&self) -> u16 {
        u16::from_be_bytes(self.bytes[..2].try_into().expect("two bytes"))
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }
}

/// The error's text, for comparison.
pub(crate) fn text<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("an error").to_string()
}
