//! How a client registers: `sockclnt_create`, whose reply has the number of every message.
//! (VPP 26.06, `src/vlibmemory/socket_api.c`.) Pure.

use crate::api::memclnt::{SockclntCreate, SockclntCreateReply};
use crate::message::{Addressing, decode, encode};
use crate::table::MessageTable;
use crate::wire::{DecodeError, EncodeError, Reader, TextError, Wire};

/// Numbers that are the same in every VPP: they precede the table
/// (VPP 26.06, `src/vlibmemory/vl_memory_msg_enum.h`; `vpp_papi` relies on them as well).
const SOCKCLNT_CREATE: u16 = 15;
const SOCKCLNT_CREATE_REPLY: u16 = 16;

/// What VPP says about a client that it took.
#[derive(Debug)]
pub(crate) struct Welcome {
    /// Who we are to VPP.
    pub(crate) client_index: u32,
    /// Its messages.
    pub(crate) table: MessageTable,
}

/// Why there was no welcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwelcome {
    #[error("the client's name: {0}")]
    Name(#[from] TextError),
    #[error("the registration: {0}")]
    Encode(#[from] EncodeError),
    #[error("the answer: {0}")]
    Decode(#[from] DecodeError),
    #[error("the answer is message {0}, not {SOCKCLNT_CREATE_REPLY}")]
    Number(u16),
    #[error("the registration was refused: {0}")]
    Refused(i32),
}

/// The message that registers a client.
pub(crate) fn hello(name: &str) -> Result<Vec<u8>, Unwelcome> {
    let message = SockclntCreate { name: name.try_into()? };
    let addressing = Addressing { id: SOCKCLNT_CREATE, client_index: 0, context: 1 };
    Ok(encode(&message, addressing)?)
}

/// What VPP answered.
pub(crate) fn welcome(bytes: &[u8]) -> Result<Welcome, Unwelcome> {
    let number = u16::decode(&mut Reader::new(bytes))?;
    if number != SOCKCLNT_CREATE_REPLY {
        return Err(Unwelcome::Number(number));
    }
    let reply: SockclntCreateReply = decode(bytes)?;
    if reply.response < 0 {
        return Err(Unwelcome::Refused(reply.response));
    }
    let entries = reply.message_table.into_iter();
    let table = entries.map(|entry| (entry.name.into(), entry.index)).collect();
    Ok(Welcome { client_index: reply.index, table })
}
