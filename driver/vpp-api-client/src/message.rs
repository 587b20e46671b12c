//! What a message is: its identity, its header, and what answers it.

use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};

/// A message: a [`Wire`] value with a name and a checksum, by which VPP gives it a number.
pub trait Message: Wire + std::fmt::Debug + Send + 'static {
    /// Its name in VPP's definitions.
    const NAME: &'static str;
    /// Checksum of its layout, which VPP makes from the definition.
    const CRC: u32;
    /// Name and checksum as VPP's message table has them: `show_version_51077d14`.
    const KEY: &'static str;
    /// What precedes the fields.
    const HEADER: Header;
}

/// What precedes a message's fields, after its 16-bit number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Header {
    /// Who asks, and the number that the answer repeats: requests.
    ClientAndContext,
    /// The number that the request had: replies.
    Context,
    /// Who subscribed: events.
    Client,
    /// Nothing.
    Bare,
}

impl Header {
    /// Its size in bytes, with the message's number.
    pub const fn size(self) -> usize {
        2 + match self {
            Self::ClientAndContext => 8,
            Self::Context | Self::Client => 4,
            Self::Bare => 0,
        }
    }

    /// Where the context is, in bytes from the message's start.
    pub(crate) const fn context_at(self) -> Option<usize> {
        match self {
            Self::ClientAndContext => Some(6),
            Self::Context => Some(2),
            Self::Client | Self::Bare => None,
        }
    }
}

/// A request that is answered by one reply.
pub trait Request: Message {
    /// What answers it.
    type Reply: Reply;
}

/// What answers a request.
pub trait Reply: Message {
    /// VPP's verdict: negative is an error. Replies that have none say 0.
    fn retval(&self) -> i32 {
        0
    }
}

/// A request that is answered by any number of details; their end shows only by a control ping.
pub trait Dump: Message {
    /// What answers it.
    type Details: Message;
}

/// A request that is answered by details and a reply that says where the next request goes on.
pub trait Get: Message {
    /// What answers it, any number of times.
    type Details: Message;
    /// What ends a round.
    type Reply: GetReply;

    /// The same request, from `cursor` on.
    #[must_use]
    fn at_cursor(&self, cursor: u32) -> Self;
}

/// The end of a round of a [`Get`].
pub trait GetReply: Reply {
    /// Where the next round begins, when the verdict says that there is one.
    fn cursor(&self) -> u32;
}

/// A message that VPP sends by itself, to who asked for it with a `want_…` request.
pub trait Event: Message + Clone {}

/// Name and checksum of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its name.
    pub name: &'static str,
    /// Checksum of its layout.
    pub crc: u32,
    /// Both, as in VPP's message table.
    pub key: &'static str,
}

impl Identity {
    /// The identity of `M`.
    pub const fn of<M: Message>() -> Self {
        Self { name: M::NAME, crc: M::CRC, key: M::KEY }
    }
}

/// A message that is known here, with its type left out.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its name and checksum.
    pub identity: Identity,
    /// What precedes its fields.
    pub header: Header,
    recode: fn(&[u8]) -> Result<Recoded, DecodeError>,
}

/// What was read of a message, and the same written again.
#[derive(Debug)]
pub struct Recoded {
    /// The message, for people.
    pub text: String,
    /// Its fields as they are written, without what precedes them.
    pub fields: Vec<u8>,
}

impl Known {
    /// What is known of `M`.
    pub const fn of<M: Message>() -> Self {
        Self { identity: Identity::of::<M>(), header: M::HEADER, recode: recode::<M> }
    }

    /// Reads a message with what precedes its fields, and writes the fields again.
    ///
    /// # Errors
    /// [`DecodeError`], as [`decode`] says.
    pub fn recode(&self, bytes: &[u8]) -> Result<Recoded, DecodeError> {
        (self.recode)(bytes)
    }
}

fn recode<M: Message>(bytes: &[u8]) -> Result<Recoded, DecodeError> {
    let message: M = decode(bytes)?;
    let mut to = Writer::default();
    message.encode(&mut to).expect("a list that was read has a length that can be written");
    Ok(Recoded { text: format!("{message:?}"), fields: to.into_bytes() })
}

/// Numbers that stand before a message's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addressing {
    /// The message's number at this VPP.
    pub id: u16,
    /// Who we are to VPP.
    pub client_index: u32,
    /// What the answer repeats.
    pub context: u32,
}

/// The bytes of a message.
///
/// # Errors
/// [`EncodeError`] when a list is longer than its length field can say.
pub fn encode<M: Message>(message: &M, addressing: Addressing) -> Result<Vec<u8>, EncodeError> {
    let mut to = Writer::default();
    addressing.id.encode(&mut to)?;
    if matches!(M::HEADER, Header::ClientAndContext | Header::Client) {
        addressing.client_index.encode(&mut to)?;
    }
    if matches!(M::HEADER, Header::ClientAndContext | Header::Context) {
        addressing.context.encode(&mut to)?;
    }
    message.encode(&mut to)?;
    Ok(to.into_bytes())
}

/// The message in `bytes`, whose number the caller has compared. What follows its last field is ignored, as
/// VPP's own clients do: its handlers may reserve more than they fill.
///
/// # Errors
/// [`DecodeError`] when bytes are missing or mean nothing.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let mut from = Reader::new(bytes);
    from.bytes(M::HEADER.size())?;
    M::decode(&mut from)
}
