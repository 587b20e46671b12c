//! A connection to VPP, and what can be asked of it.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api::memclnt::{
    ControlPing, ControlPingReply, MemclntKeepalive, MemclntKeepaliveReply, SockclntDelete,
};
use crate::api_error::ApiError;
use crate::call::Call;
use crate::connect::open;
use crate::error::{Error, Loss};
use crate::events::Events;
use crate::frame::Deframer;
use crate::handshake::Welcome;
use crate::link::{self, Link};
use crate::message::{
    Addressing, Dump, Event, Get, GetReply, Identity, Message, Reply, Request, decode, encode,
};
use crate::options::Options;
use crate::pending::{Answer, Arrival, Waiting};
use crate::table::{MessageTable, Mismatch};

/// How many written messages wait for the socket before calls wait themselves.
const QUEUE: usize = 64;

/// A connection to VPP. Clones share it; it ends with the last one.
///
/// Calls may run at the same time; answers find theirs. A call's future may be dropped at any time: an
/// answer that comes later is thrown away, and a request that was handed over is carried out by VPP all
/// the same. When the connection is lost, every waiting and every later call says
/// [`Error::Disconnected`]; to go on, connect again.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Arc<Link>,
    queue: mpsc::Sender<Vec<u8>>,
    table: MessageTable,
    client_index: u32,
    options: Options,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.link.lose(Loss::Here);
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Client {
    /// Connects to VPP's API socket (`/run/vpp/api.sock`, if its configuration says nothing else).
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Handshake`], [`Error::Timeout`].
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::connect_with(path, Options::default()).await
    }

    /// Connects with other than the usual options.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let after = options.timeout;
        let opened = timeout(after, open(path.as_ref(), &options)).await;
        let (socket, stream, welcome) =
            opened.map_err(|_| Error::Timeout { message: "sockclnt_create", after })??;
        Ok(Self::start(socket, stream, welcome, options))
    }

    fn start(socket: UnixStream, stream: Deframer, welcome: Welcome, options: Options) -> Self {
        let Welcome { client_index, table } = welcome;
        let link = Link::new();
        let (queue, queued) = mpsc::channel(QUEUE);
        let (from, to) = socket.into_split();
        let probe = probe_answer(&table, client_index, queue.clone());
        let tasks = vec![
            tokio::spawn(link::read(from, stream, Arc::clone(&link), probe)),
            tokio::spawn(link::write(to, queued, Arc::clone(&link))),
        ];
        let keepalive = options.keepalive;
        let inner = Arc::new(Inner { link, queue, table, client_index, options, tasks });
        if let Some(every) = keepalive {
            tokio::spawn(keep_alive(Arc::downgrade(&inner), every));
        }
        Self { inner }
    }

    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// [`Error::Refused`] when VPP's verdict is negative; [`Error::Unknown`], [`Error::Encode`],
    /// [`Error::Decode`], [`Error::Timeout`], [`Error::Disconnected`].
    pub async fn request<R: Request>(&self, request: &R) -> Result<R::Reply, Error> {
        accepted::<R, _>(self.exchange(request).await?)
    }

    /// As [`Client::request`], but a negative verdict is the caller's to read: for replies that say more
    /// than the verdict when they refuse.
    ///
    /// # Errors
    /// As [`Client::request`], without [`Error::Refused`].
    pub async fn exchange<R: Request>(&self, request: &R) -> Result<R::Reply, Error> {
        let mut call = self.call(vec![self.answer::<R::Reply>()?])?;
        let reply = async {
            self.send(request, call.context()).await?;
            call.next().await
        };
        read(&self.in_time(R::NAME, reply).await?)
    }

    /// Sends a message that VPP does not answer.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Encode`], [`Error::Timeout`], [`Error::Disconnected`].
    pub async fn tell<M: Message>(&self, message: &M) -> Result<(), Error> {
        self.in_time(M::NAME, self.send(message, 0)).await
    }

    /// Asks for a dump, and collects all of it. (VPP says nothing at a dump's end, so a ping follows it.)
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn dump<D: Dump>(&self, dump: &D) -> Result<Vec<D::Details>, Error> {
        let details = self.answer::<D::Details>()?;
        let mut call = self.call(vec![details, self.answer::<ControlPingReply>()?])?;
        let asked = async {
            self.send(dump, call.context()).await?;
            self.send(&ControlPing {}, call.context()).await
        };
        self.in_time(D::NAME, asked).await?;
        let mut collected = Vec::new();
        loop {
            let arrival = self.in_time(D::NAME, call.next()).await?;
            if arrival.number != details.number {
                return Ok(collected);
            }
            collected.push(read(&arrival)?);
        }
    }

    /// Asks for everything that a request with a cursor gives, round by round.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn collect<G: Get>(&self, get: &G) -> Result<Vec<G::Details>, Error> {
        let mut collected = Vec::new();
        let mut next = None;
        loop {
            let reply = match next {
                None => self.round(get, &mut collected).await?,
                Some(cursor) => self.round(&get.at_cursor(cursor), &mut collected).await?,
            };
            if reply.retval() != ApiError::EAGAIN.0 {
                accepted::<G, _>(reply)?;
                return Ok(collected);
            }
            next = Some(reply.cursor());
        }
    }

    async fn round<G: Get>(
        &self,
        get: &G,
        collected: &mut Vec<G::Details>,
    ) -> Result<G::Reply, Error> {
        let details = self.answer::<G::Details>()?;
        let mut call = self.call(vec![details, self.answer::<G::Reply>()?])?;
        self.in_time(G::NAME, self.send(get, call.context())).await?;
        loop {
            let arrival = self.in_time(G::NAME, call.next()).await?;
            if arrival.number != details.number {
                return read(&arrival);
            }
            collected.push(read(&arrival)?);
        }
    }

    /// Listens for an event. VPP sends it once it was asked to with the event's `want_…` request; listen
    /// first, so that none is missed.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Disconnected`].
    pub fn events<E: Event>(&self) -> Result<Events<E>, Error> {
        let number = self.number::<E>()?;
        match &mut *self.inner.link.waiting() {
            Waiting::Lost(loss) => Err(Error::Disconnected(loss.clone())),
            Waiting::Open(open) => {
                let backlog = self.inner.options.event_backlog.max(1);
                Ok(Events::new(open.subscribe(number, backlog), Arc::clone(&self.inner.link)))
            }
        }
    }

    /// Whether this VPP has message `M` as it is known here. Of messages that VPP has in several versions
    /// (`…_v2`), the newest that is supported can so be chosen.
    pub fn supports<M: Message>(&self) -> bool {
        self.number::<M>().is_ok()
    }

    /// Which of `wanted` this VPP has not as they are known here.
    pub fn missing(&self, wanted: &[Identity]) -> Vec<Mismatch> {
        wanted.iter().filter_map(|it| self.inner.table.number(*it).err()).collect()
    }

    /// Checks at once all messages that will be needed.
    ///
    /// # Errors
    /// [`Error::Missing`], with every message that is not as it is known here.
    pub fn require(&self, wanted: &[Identity]) -> Result<(), Error> {
        let missing = self.missing(wanted);
        if missing.is_empty() { Ok(()) } else { Err(Error::Missing(missing)) }
    }

    /// Pings VPP: everything that was sent before has been carried out when the answer is here.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn ping(&self) -> Result<ControlPingReply, Error> {
        self.request(&ControlPing {}).await
    }

    /// Why the connection was lost, if it was.
    pub fn loss(&self) -> Option<Loss> {
        self.inner.link.loss()
    }

    /// Waits until the connection is lost, and says why.
    pub async fn closed(&self) -> Loss {
        self.inner.link.until_lost().await
    }

    /// Takes leave of VPP, so that it need not notice by itself. Other clones' calls then say
    /// [`Error::Disconnected`].
    ///
    /// # Errors
    /// As [`Client::request`]; the connection is closed all the same.
    pub async fn close(self) -> Result<(), Error> {
        let left = self.exchange(&SockclntDelete { index: self.inner.client_index }).await;
        self.inner.link.lose(Loss::Here);
        left.map(drop)
    }

    fn number<M: Message>(&self) -> Result<u16, Error> {
        self.inner.table.number(Identity::of::<M>()).map_err(Error::Unknown)
    }

    fn answer<M: Message>(&self) -> Result<Answer, Error> {
        Ok(Answer::of::<M>(self.number::<M>()?))
    }

    fn call(&self, answers: Vec<Answer>) -> Result<Call, Error> {
        Call::open(&self.inner.link, answers)
    }

    async fn send<M: Message>(&self, message: &M, context: u32) -> Result<(), Error> {
        let addressing =
            Addressing { id: self.number::<M>()?, client_index: self.inner.client_index, context };
        let bytes = encode(message, addressing)
            .map_err(|source| Error::Encode { message: M::NAME, source })?;
        if let Some(loss) = self.loss() {
            return Err(Error::Disconnected(loss));
        }
        let sent = self.inner.queue.send(bytes).await;
        sent.map_err(|_| Error::Disconnected(self.loss().unwrap_or(Loss::ByPeer)))
    }

    async fn in_time<T>(
        &self,
        message: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let after = self.inner.options.timeout;
        timeout(after, call).await.unwrap_or(Err(Error::Timeout { message, after }))
    }
}

/// The message that arrived.
fn read<M: Message>(arrival: &Arrival) -> Result<M, Error> {
    decode(&arrival.bytes).map_err(|source| Error::Decode { message: M::NAME, source })
}

/// The reply, unless its verdict is negative.
fn accepted<M: Message, R: Reply>(reply: R) -> Result<R, Error> {
    match reply.retval() {
        code @ ..0 => Err(Error::Refused { message: M::NAME, code: ApiError(code) }),
        _ => Ok(reply),
    }
}

/// Answers VPP when it asks whether a client still lives; no other message that nobody waits for is
/// answered.
fn probe_answer(
    table: &MessageTable,
    client_index: u32,
    queue: mpsc::Sender<Vec<u8>>,
) -> impl Fn(&[u8]) + use<> {
    let probe = table.number(Identity::of::<MemclntKeepalive>()).ok();
    let answer = table.number(Identity::of::<MemclntKeepaliveReply>()).ok();
    move |message| {
        let (Some(probe), Some(id)) = (probe, answer) else { return };
        let Some(context) =
            message.get(6..10).filter(|_| message.starts_with(&probe.to_be_bytes()))
        else {
            return;
        };
        let context = u32::from_be_bytes(context.try_into().expect("four bytes were taken"));
        let addressing = Addressing { id, client_index, context };
        let reply = encode(&MemclntKeepaliveReply { retval: 0 }, addressing);
        // A full queue means that VPP hears from us anyway.
        let _ = reply.map(|bytes| queue.try_send(bytes));
    }
}

/// Pings VPP now and then, as long as there is a client, and gives the connection up when no answer comes.
async fn keep_alive(inner: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(inner) = inner.upgrade() else { return };
        let client = Client { inner };
        match client.ping().await {
            Err(Error::Timeout { after, .. }) => client.inner.link.lose(Loss::Silent(after)),
            Err(Error::Disconnected(_)) => return,
            _ => {}
        }
    }
}
