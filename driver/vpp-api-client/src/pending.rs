//! Who waits for what: calls by context, events by number. No I/O.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};

use crate::error::Loss;
use crate::message::{Header, Identity, Message};

/// A kind of message that answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its number at this VPP.
    pub(crate) number: u16,
    /// What precedes its fields.
    pub(crate) header: Header,
    /// What it is.
    pub(crate) identity: Identity,
}

impl Answer {
    pub(crate) fn of<M: Message>(number: u16) -> Self {
        Self { number, header: M::HEADER, identity: Identity::of::<M>() }
    }

    /// Whether `bytes` are such a message, for the call with `context`.
    fn fits(&self, number: u16, context: u32, bytes: &[u8]) -> bool {
        let at = self.header.context_at();
        number == self.number && at.and_then(|at| word(bytes, at)) == Some(context)
    }
}

/// A message that arrived for a call.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Its number.
    pub(crate) number: u16,
    /// All of it.
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug)]
struct Call {
    answers: Vec<Answer>,
    to: mpsc::UnboundedSender<Arrival>,
}

/// Everybody who waits on one connection.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// The connection stands.
    Open(Open),
    /// It is lost.
    Lost(Loss),
}

#[derive(Debug, Default)]
pub(crate) struct Open {
    last: u32,
    calls: HashMap<u32, Call>,
    events: HashMap<u16, broadcast::Sender<Arc<[u8]>>>,
}

impl Open {
    /// A new call: its context, and where its answers come.
    pub(crate) fn call(&mut self, answers: Vec<Answer>) -> (u32, mpsc::UnboundedReceiver<Arrival>) {
        let context = self.free_context();
        let (to, from) = mpsc::unbounded_channel();
        self.calls.insert(context, Call { answers, to });
        (context, from)
    }

    /// Context 0 is what messages have that answer nothing.
    fn free_context(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.calls.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// The call is over: what still comes for it is dropped.
    pub(crate) fn forget(&mut self, context: u32) {
        self.calls.remove(&context);
    }

    /// Events of a number, of which `backlog` wait for who is slow.
    pub(crate) fn subscribe(
        &mut self,
        number: u16,
        backlog: usize,
    ) -> broadcast::Receiver<Arc<[u8]>> {
        let sender = self.events.entry(number).or_insert_with(|| broadcast::channel(backlog).0);
        sender.subscribe()
    }

    /// Gives a received message to who waits for it; `false` when nobody does.
    pub(crate) fn deliver(&mut self, bytes: &[u8]) -> bool {
        let Some(number) = half(bytes) else { return false };
        if let Some(listeners) = self.events.get(&number) {
            if listeners.send(bytes.into()).is_err() {
                self.events.remove(&number);
            }
            return true;
        }
        [Header::Context, Header::ClientAndContext].iter().any(|header| {
            let context = header.context_at().and_then(|at| word(bytes, at));
            context.is_some_and(|context| self.answer(context, number, bytes))
        })
    }

    fn answer(&self, context: u32, number: u16, bytes: &[u8]) -> bool {
        let Some(call) = self.calls.get(&context) else { return false };
        let fits = call.answers.iter().any(|answer| answer.fits(number, context, bytes));
        // Who dropped the receiver wants no answer any more; that is no failure.
        fits && call.to.send(Arrival { number, bytes: bytes.to_vec() }).is_ok()
    }
}

fn half(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|it| u16::from_be_bytes(*it))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let rest = bytes.get(at..)?;
    rest.first_chunk().map(|it| u32::from_be_bytes(*it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(number: u16, header: Header) -> Answer {
        let identity = Identity { name: "m", crc: 0, key: "m_00000000" };
        Answer { number, header, identity }
    }

    fn message(number: u16, words: &[u32]) -> Vec<u8> {
        let words = words.iter().flat_map(|it| it.to_be_bytes());
        number.to_be_bytes().into_iter().chain(words).collect()
    }

    #[test]
    fn an_answer_goes_to_its_call_alone() {
        let mut open = Open::default();
        let (one, mut first) = open.call(vec![answer(30, Header::Context)]);
        let (two, mut second) = open.call(vec![answer(30, Header::Context)]);
        assert!(open.deliver(&message(30, &[two, 7])));
        assert_eq!(second.try_recv().expect("delivered").bytes, message(30, &[two, 7]));
        assert!(first.try_recv().is_err());
        open.forget(one);
        assert!(!open.deliver(&message(30, &[one])));
    }

    #[test]
    fn a_message_of_another_kind_is_no_answer_whatever_its_second_field_says() {
        let mut open = Open::default();
        let (context, mut call) = open.call(vec![answer(30, Header::Context)]);
        assert!(!open.deliver(&message(31, &[context, context])));
        assert!(!open.deliver(&message(30, &[context + 1, context])));
        assert!(!open.deliver(&[0]) && !open.deliver(&message(30, &[])));
        assert!(call.try_recv().is_err());
    }

    #[test]
    fn contexts_in_use_and_zero_are_not_given_out() {
        let mut open = Open { last: u32::MAX - 1, ..Open::default() };
        let contexts: Vec<_> = (0..3).map(|_| open.call(Vec::new()).0).collect();
        assert_eq!(contexts, [u32::MAX, 1, 2]);
        open.last = u32::MAX - 1;
        assert_eq!(open.call(Vec::new()).0, 3);
    }

    #[test]
    fn events_go_to_all_who_listen() {
        let mut open = Open::default();
        let (mut one, mut two) = (open.subscribe(40, 4), open.subscribe(40, 4));
        assert!(open.deliver(&message(40, &[0, 5])));
        for listener in [&mut one, &mut two] {
            assert_eq!(&*listener.try_recv().expect("an event"), message(40, &[0, 5]));
        }
        drop((one, two));
        open.deliver(&message(40, &[0]));
        assert!(!open.deliver(&message(40, &[0])), "nobody listens any more");
    }
}
