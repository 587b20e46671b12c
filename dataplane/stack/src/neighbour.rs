//! Who has which Ethernet address, who is being asked for, and what is on the way to whom.
//!
//! Pure bookkeeping; the questions themselves are written by `resolve`. The table is bounded. Entries
//! come from answers to our questions and from stations that ask for us (RFC 826), never from data.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use dataplane::MacAddr;
use dataplane::stack_port::Tag;

use crate::tcp::ConnectionId;

/// A neighbour's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Neighbour(pub(crate) u32);

impl Neighbour {
    /// Of frames of TCP.
    pub(crate) fn tag(self) -> Tag {
        Tag(self.0)
    }

    /// Of frames of datagrams.
    pub(crate) fn datagram_tag(self) -> Tag {
        Tag(self.0 | DATAGRAM)
    }
}

/// The tag of frames for everybody.
pub(crate) const EVERYBODY: Tag = Tag(u32::MAX);

/// Neighbours in the table.
const LIMIT: usize = 1024;
/// Marks the tags of datagrams; indices are smaller.
const DATAGRAM: u32 = 1 << 30;
/// Frames of TCP on the way to one neighbour, of up to 64 KiB each, and frames of datagrams that always may
/// be. The worker keeps more for all together.
const ON_THE_WAY: u32 = 32;
/// Frames of datagrams on the way to one neighbour: short ones, of which those of TCP would be gone before
/// a worker that shares its processor looks again.
const DATAGRAMS_ON_THE_WAY: u32 = 256;
/// Frames of datagrams to all neighbours, beyond those that always may be: what neighbours that do not read
/// can take from the others.
const ALL_DATAGRAMS_ON_THE_WAY: u32 = 1024;
/// Bytes of datagrams that wait for one address, as Linux (`unres_qlen_bytes`), and for all.
const KEPT_BYTES: usize = 212_992;
const ALL_KEPT_BYTES: usize = 1 << 20;
/// What a datagram that waits costs beside its bytes.
const KEPT_OVERHEAD: usize = 512;
/// Questions before an address is given up, and the time between them (RFC 4861, 10).
const QUESTIONS: u32 = 3;
const INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer is good for.
const REACHABLE: Duration = Duration::from_mins(1);
/// How long it is not asked again for an address that did not answer.
const SILENCE: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    mac: Option<MacAddr>,
    /// Somebody here wanted to send to it.
    wanted: bool,
    confirmed: Instant,
    asked: u32,
    /// When the next question, or giving up, is due.
    due: Option<Instant>,
    /// Not asked before this time.
    silent_until: Option<Instant>,
    on_the_way: u32,
    datagrams_on_the_way: u32,
    waiting: Vec<ConnectionId>,
    /// Whole frames but for the destination's Ethernet address, and what they cost.
    datagrams: VecDeque<Vec<u8>>,
    kept_bytes: usize,
}

impl Entry {
    fn take_waiting(&mut self, crowded: &mut usize) -> Vec<ConnectionId> {
        if !self.waiting.is_empty() && self.mac.is_some() {
            *crowded -= 1;
        }
        std::mem::take(&mut self.waiting)
    }

    fn take_datagrams(&mut self, kept_bytes: &mut usize) -> VecDeque<Vec<u8>> {
        *kept_bytes -= std::mem::take(&mut self.kept_bytes);
        std::mem::take(&mut self.datagrams)
    }
}

/// How far an address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Frames can go there.
    Yes(Neighbour, MacAddr),
    /// Somebody was asked.
    Asked(Neighbour),
    /// Nobody answers to it, or the table is full.
    No,
}

/// What to do about an entry whose time has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Ask for the address, and look again at the given time.
    Ask(IpAddr, Instant),
    /// Nobody answered; these connections waited, and so many datagrams are lost.
    Failed(Vec<ConnectionId>, usize),
}

/// What an answer brought.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    pub(crate) connections: Vec<ConnectionId>,
    pub(crate) datagrams: VecDeque<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// Entries with an address whose connections wait: for room, since they have all else.
    crowded: usize,
    /// Frames of datagrams on the way to all.
    datagrams_on_the_way: u32,
    /// What the datagrams that wait for addresses cost.
    kept_bytes: usize,
    by_address: HashMap<IpAddr, u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Where the search for an entry to give up goes on.
    hand: usize,
}

impl Neighbours {
    /// Looks an address up, to send to it. `ask` means that a question has to be asked, and the entry
    /// looked at again at that time.
    pub(crate) fn look_up(&mut self, address: IpAddr, now: Instant) -> (Known, Option<Instant>) {
        let Some(index) = self.find_or_add(address, now) else { return (Known::No, None) };
        let Some(entry) = &mut self.entries[index as usize] else { return (Known::No, None) };
        let neighbour = Neighbour(index);
        entry.wanted = true;
        let fresh = entry.mac.is_some() && now < entry.confirmed + REACHABLE;
        let mut ask = None;
        if !fresh && entry.due.is_none() {
            if entry.mac.is_none() && entry.silent_until.is_some_and(|until| now < until) {
                return (Known::No, None);
            }
            entry.asked = 1;
            entry.due = Some(now + INTERVAL);
            ask = entry.due;
        }
        match entry.mac {
            Some(mac) => (Known::Yes(neighbour, mac), ask),
            None => (Known::Asked(neighbour), ask),
        }
    }

    /// What is known about an address, without asking anybody.
    pub(crate) fn peek(&self, address: IpAddr) -> Known {
        let index = self.by_address.get(&address).copied();
        let entry =
            index.and_then(|index| Some((index, self.entries.get(index as usize)?.as_ref()?)));
        match entry {
            Some((index, Entry { mac: Some(mac), .. })) => Known::Yes(Neighbour(index), *mac),
            _ => Known::No,
        }
    }

    /// A station said that an address is its own; `asked_us` when it did so asking for ours.
    pub(crate) fn learn(
        &mut self,
        address: IpAddr,
        mac: MacAddr,
        asked_us: bool,
        now: Instant,
    ) -> Learnt {
        let index = if asked_us {
            self.find_or_add(address, now)
        } else {
            self.by_address.get(&address).copied()
        };
        let Some(Some(entry)) = index.and_then(|index| self.entries.get_mut(index as usize)) else {
            return Learnt::default();
        };
        let connections = entry.take_waiting(&mut self.crowded);
        entry.mac = Some(mac);
        entry.confirmed = now;
        entry.due = None;
        entry.silent_until = None;
        Learnt { connections, datagrams: entry.take_datagrams(&mut self.kept_bytes) }
    }

    /// The time of an entry has come.
    pub(crate) fn due(&mut self, index: u32, now: Instant) -> Due {
        let Some(Some(entry)) = self.entries.get_mut(index as usize) else { return Due::Nothing };
        if entry.due.is_none_or(|due| due > now) {
            return Due::Nothing;
        }
        if entry.asked < QUESTIONS {
            entry.asked += 1;
            let again = now + INTERVAL;
            entry.due = Some(again);
            return Due::Ask(entry.address, again);
        }
        let waited = entry.take_waiting(&mut self.crowded);
        entry.mac = None;
        entry.due = None;
        entry.silent_until = Some(now + SILENCE);
        let lost = entry.take_datagrams(&mut self.kept_bytes).len();
        Due::Failed(waited, lost)
    }

    /// Whether another frame of TCP may be sent to a neighbour.
    #[inline]
    pub(crate) fn has_room(&self, neighbour: Neighbour) -> bool {
        self.entry(neighbour).is_some_and(|entry| entry.on_the_way < ON_THE_WAY)
    }

    #[inline]
    pub(crate) fn sent(&mut self, neighbour: Neighbour, frames: u32) {
        if let Some(entry) = self.entry_mut(neighbour) {
            entry.on_the_way += frames;
        }
    }

    /// Whether a datagram that takes so many frames may be sent to a neighbour.
    #[inline]
    pub(crate) fn has_room_for(&self, neighbour: Neighbour, frames: u32) -> bool {
        let Some(entry) = self.entry(neighbour) else { return false };
        let there = entry.datagrams_on_the_way + frames;
        let all = self.datagrams_on_the_way + frames;
        // One goes in any case, however many frames that takes.
        entry.datagrams_on_the_way == 0
            || there <= ON_THE_WAY
            || there <= DATAGRAMS_ON_THE_WAY && all <= ALL_DATAGRAMS_ON_THE_WAY
    }

    #[inline]
    pub(crate) fn sent_datagram(&mut self, neighbour: Neighbour, frames: u32) {
        if let Some(entry) = self.entry_mut(neighbour) {
            entry.datagrams_on_the_way += frames;
            self.datagrams_on_the_way += frames;
        }
    }

    /// A frame has left the worker; the connections that waited for that, if enough have.
    #[inline]
    pub(crate) fn gone(&mut self, tag: Tag) -> Vec<ConnectionId> {
        if tag != EVERYBODY && tag.0 & DATAGRAM != 0 {
            self.datagram_gone(tag.0 & !DATAGRAM);
            return Vec::new();
        }
        let Some(Some(entry)) = self.entries.get_mut(tag.0 as usize) else { return Vec::new() };
        entry.on_the_way = entry.on_the_way.saturating_sub(1);
        if entry.waiting.is_empty() || entry.mac.is_none() || entry.on_the_way > ON_THE_WAY / 2 {
            return Vec::new();
        }
        entry.take_waiting(&mut self.crowded)
    }

    fn datagram_gone(&mut self, index: u32) {
        let Some(Some(entry)) = self.entries.get_mut(index as usize) else { return };
        if entry.datagrams_on_the_way > 0 {
            entry.datagrams_on_the_way -= 1;
            self.datagrams_on_the_way -= 1;
        }
    }

    /// A connection waits for an answer or for room.
    pub(crate) fn wait(&mut self, neighbour: Neighbour, connection: ConnectionId) {
        let Some(Some(entry)) = self.entries.get_mut(neighbour.0 as usize) else { return };
        if entry.waiting.is_empty() && entry.mac.is_some() {
            self.crowded += 1;
        }
        entry.waiting.push(connection);
    }

    /// Whether a connection waits for frames to be gone.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded > 0
    }

    /// Whether a frame of `len` bytes may wait for an answer.
    pub(crate) fn may_keep(&self, neighbour: Neighbour, len: usize) -> bool {
        let cost = len + KEPT_OVERHEAD;
        self.entry(neighbour).is_some_and(|entry| entry.kept_bytes + cost <= KEPT_BYTES)
            && self.kept_bytes + cost <= ALL_KEPT_BYTES
    }

    /// A datagram, which [may](Self::may_keep), waits for an answer.
    pub(crate) fn keep(&mut self, neighbour: Neighbour, frame: Vec<u8>) {
        let cost = frame.len() + KEPT_OVERHEAD;
        if let Some(entry) = self.entry_mut(neighbour) {
            entry.kept_bytes += cost;
            entry.datagrams.push_back(frame);
            self.kept_bytes += cost;
        }
    }

    fn entry(&self, neighbour: Neighbour) -> Option<&Entry> {
        self.entries.get(neighbour.0 as usize)?.as_ref()
    }

    fn entry_mut(&mut self, neighbour: Neighbour) -> Option<&mut Entry> {
        self.entries.get_mut(neighbour.0 as usize)?.as_mut()
    }

    fn find_or_add(&mut self, address: IpAddr, now: Instant) -> Option<u32> {
        if let Some(&index) = self.by_address.get(&address) {
            return Some(index);
        }
        if self.by_address.len() >= LIMIT {
            self.give_up_one(now)?;
        }
        let entry = Entry {
            address,
            mac: None,
            wanted: false,
            confirmed: now,
            asked: 0,
            due: None,
            silent_until: None,
            on_the_way: 0,
            datagrams_on_the_way: 0,
            waiting: Vec::new(),
            datagrams: VecDeque::new(),
            kept_bytes: 0,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        self.entries[index as usize] = Some(entry);
        self.by_address.insert(address, index);
        Some(index)
    }

    /// Frees an entry that nobody needs now; looks at a bounded number of them. Those that nobody here ever
    /// wanted go first: any station can make us learn as many as it likes.
    fn give_up_one(&mut self, now: Instant) -> Option<()> {
        let mut second_best = None;
        for _ in 0..64.min(self.entries.len()) {
            self.hand = (self.hand + 1) % self.entries.len();
            let Some(entry) = &self.entries[self.hand] else { continue };
            let on_the_way = entry.on_the_way + entry.datagrams_on_the_way;
            if entry.due.is_some() || on_the_way > 0 || !entry.waiting.is_empty() {
                continue;
            }
            if !entry.wanted {
                return self.remove(self.hand);
            }
            if now >= entry.confirmed + INTERVAL {
                second_best = second_best.or(Some(self.hand));
            }
        }
        self.remove(second_best?)
    }

    fn remove(&mut self, index: usize) -> Option<()> {
        let entry = self.entries[index].take()?;
        self.by_address.remove(&entry.address);
        self.free.push(u32::try_from(index).ok()?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + n).into()
    }

    #[test]
    fn asked_for_and_answered() {
        let (mut table, now) = (Neighbours::default(), Instant::now());
        let (known, ask) = table.look_up(address(1), now);
        assert_eq!((known, ask), (Known::Asked(Neighbour(0)), Some(now + INTERVAL)));
        assert_eq!(table.look_up(address(1), now), (known, None), "asked already");
        assert!(table.may_keep(Neighbour(0), 1));
        table.keep(Neighbour(0), vec![1]);
        let learnt = table.learn(address(1), MAC, false, now);
        assert_eq!(learnt.datagrams, [[1]]);
        assert_eq!(table.look_up(address(1), now), (Known::Yes(Neighbour(0), MAC), None));
        let later = now + REACHABLE;
        let known = Known::Yes(Neighbour(0), MAC);
        assert_eq!(table.look_up(address(1), later), (known, Some(later + INTERVAL)), "old");
    }

    #[test]
    fn asked_for_and_silent() {
        let (mut table, mut now) = (Neighbours::default(), Instant::now());
        table.look_up(address(1), now);
        for _ in 1..QUESTIONS {
            now += INTERVAL;
            assert_eq!(table.due(0, now), Due::Ask(address(1), now + INTERVAL));
        }
        now += INTERVAL;
        assert_eq!(table.due(0, now), Due::Failed(Vec::new(), 0));
        assert_eq!(table.look_up(address(1), now), (Known::No, None));
        now += SILENCE;
        assert!(matches!(table.look_up(address(1), now), (Known::Asked(_), Some(_))));
    }

    #[test]
    fn what_nobody_asked_for_is_not_learnt() {
        let (mut table, now) = (Neighbours::default(), Instant::now());
        table.learn(address(1), MAC, false, now);
        assert!(table.by_address.is_empty());
        table.learn(address(1), MAC, true, now);
        assert_eq!(table.look_up(address(1), now).0, Known::Yes(Neighbour(0), MAC));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_was_never_wanted() {
        let (mut table, now) = (Neighbours::default(), Instant::now());
        table.look_up(address(0), now);
        table.learn(address(0), MAC, false, now);
        let limit = u32::try_from(LIMIT).unwrap();
        for n in 1..10 * limit {
            table.learn(address(n), MAC, true, now);
        }
        assert_eq!(table.by_address.len(), LIMIT);
        assert!(matches!(table.peek(address(0)), Known::Yes(..)));
        assert!(matches!(table.look_up(address(10 * limit), now).0, Known::Asked(_)));
    }

    #[test]
    fn a_table_of_those_who_are_asked_for_takes_no_more() {
        let (mut table, now) = (Neighbours::default(), Instant::now());
        let limit = u32::try_from(LIMIT).unwrap();
        for n in 0..limit {
            table.look_up(address(n), now);
        }
        assert_eq!(table.look_up(address(limit), now), (Known::No, None));
    }

    #[test]
    fn one_neighbour_has_a_bounded_number_of_frames_on_the_way() {
        let (mut table, now) = (Neighbours::default(), Instant::now());
        table.learn(address(1), MAC, true, now);
        let neighbour = Neighbour(0);
        table.sent(neighbour, ON_THE_WAY);
        assert!(!table.has_room(neighbour));
        table.wait(neighbour, ConnectionId::default());
        let mut gone = 0;
        while table.gone(neighbour.tag()).is_empty() {
            gone += 1;
        }
        assert_eq!(gone + 1, ON_THE_WAY / 2);
        assert!(table.has_room(neighbour));
        assert_eq!(table.gone(EVERYBODY), []);
    }

    #[test]
    fn datagrams_have_room_of_their_own_and_leave_some_to_every_neighbour() {
        let (mut table, now) = (Neighbours::default(), Instant::now());
        for n in 0..6 {
            table.learn(address(n), MAC, true, now);
        }
        let fill = |table: &mut Neighbours, neighbour| {
            let mut sent = 0;
            while table.has_room_for(neighbour, 1) {
                table.sent_datagram(neighbour, 1);
                sent += 1;
            }
            sent
        };
        let sent: Vec<u32> = (0..6).map(|n| fill(&mut table, Neighbour(n))).collect();
        assert_eq!(sent, [256, 256, 256, 256, ON_THE_WAY, ON_THE_WAY]);
        assert!(table.has_room(Neighbour(0)), "streams are not held up");
        table.gone(Neighbour(0).datagram_tag());
        assert!(!table.has_room_for(Neighbour(0), 1), "all together are too many");
        for (n, sent) in (0..6).zip(sent) {
            (0..sent).for_each(|_| drop(table.gone(Neighbour(n).datagram_tag())));
            // One of many frames goes when nothing else is on the way.
            assert!(table.has_room_for(Neighbour(n), 2000));
        }
        assert_eq!(table.datagrams_on_the_way, 0);
    }

    #[test]
    fn what_waits_for_addresses_is_bounded_in_bytes() {
        let (mut table, now) = (Neighbours::default(), Instant::now());
        let mut kept = [0; 10];
        for (n, kept) in (0..10).zip(&mut kept) {
            table.look_up(address(n), now);
            while table.may_keep(Neighbour(n), 65_000) {
                table.keep(Neighbour(n), vec![0; 65_000]);
                *kept += 1;
            }
        }
        assert_eq!(kept, [3, 3, 3, 3, 3, 1, 0, 0, 0, 0]);
        assert_eq!(table.learn(address(0), MAC, false, now).datagrams.len(), 3);
        assert!(table.may_keep(Neighbour(9), 65_000));
    }
}
