//! The registrations of one epoll descriptor, and which of them are looked at in user space.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ffi::c_int;
use core::sync::atomic::{Ordering, fence};

use super::control::{Tell, tell};
use super::tag::Tag;
use super::trigger::Trigger;
use crate::datagram::Datagram;
use crate::readiness::{self, Now, WRITES};
use crate::socket::{Link, Role, Socket};

/// What is registered.
#[derive(Clone)]
pub(super) enum Target {
    /// A kernel socket that may become one of the others. The kernel knows the program's own data.
    Fresh,
    /// Ready when the kernel says so, which knows our tag.
    Listener(Arc<Socket>),
    /// Ready when its rings say so.
    Session(Arc<Socket>),
    /// The hub of a datagram socket, ready when a flow is. The descriptor itself is the kernel's.
    Flows(Arc<Datagram>),
}

impl Target {
    pub(super) fn of(socket: Arc<Socket>) -> Self {
        match &socket.role {
            Role::Session(_) => Self::Session(socket),
            Role::Listener(_) => Self::Listener(socket),
        }
    }

    pub(super) fn link(&self) -> Option<&Link> {
        match self {
            Self::Session(socket) => socket.link(),
            _ => None,
        }
    }

    /// Whether it is a session whose peer is known to be gone, or has left: no token is to come.
    pub(super) fn is_quiet(&self) -> bool {
        self.link().is_some_and(|link| {
            let left = || link.session().is_some_and(|session| session.stream().peer_left());
            link.peer_gone.load(Ordering::Acquire) || left()
        })
    }

    fn is_established(&self) -> bool {
        self.link().is_some_and(|link| link.session().is_some())
    }

    fn is(&self, socket: &Arc<Socket>) -> bool {
        match self {
            Self::Session(own) | Self::Listener(own) => Arc::ptr_eq(own, socket),
            Self::Fresh | Self::Flows(_) => false,
        }
    }

    /// Whether readiness is computed from rings.
    fn has_rings(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Flows(_))
    }

    fn watch(&self, by: i32) {
        match self {
            Self::Flows(socket) => socket.watch(by),
            _ => {
                if let Some(link) = self.link() {
                    link.watchers.fetch_add(by.cast_unsigned(), Ordering::AcqRel);
                }
            }
        }
    }

    fn look(&self, interest: u32) -> Option<Now> {
        match self {
            Self::Flows(socket) => Some(socket.look()),
            _ => self.link().map(|link| readiness::look(link, interest)),
        }
    }

    /// Somebody looks: no tokens are wanted but by the registration itself.
    fn disarm(&self) {
        match self {
            Self::Flows(socket) => socket.disarm(1),
            _ => {
                if let Some(link) = self.link() {
                    readiness::disarm(link, 1);
                }
            }
        }
    }
}

pub(super) struct Registration {
    pub(super) fd: c_int,
    pub(super) target: Target,
    /// As the program gave them.
    pub(super) events: u32,
    pub(super) data: u64,
    pub(super) trigger: Trigger,
    /// Who told the kernel: only that process may take it back.
    pub(super) owner: u32,
    /// A listener whose agent is gone: the kernel would report nothing but that.
    pub(super) parked: bool,
    /// The program removed it. The kernel was not told: some programs remove and add for each message.
    pub(super) removed: bool,
    /// The kernel reports room, too. Until a session had none that is not asked for: each token that the peer takes
    /// makes room in its socket, and would wake a sleeper for nothing.
    pub(super) room: Cell<bool>,
    /// In the list of those that are looked at.
    hot: bool,
    /// Looks since it was ready.
    quiet: u32,
}

impl Registration {
    pub(super) fn new(fd: c_int, target: Target, events: u32, data: u64) -> Self {
        Self {
            fd,
            target,
            events,
            data,
            trigger: Trigger::new(events),
            owner: crate::process::id(),
            parked: false,
            removed: false,
            room: Cell::new(false),
            hot: false,
            quiet: 0,
        }
    }

    /// The program wants to know something else, or again.
    pub(super) fn change(&mut self, events: u32, data: u64) {
        self.events = events;
        self.data = data;
        self.trigger = Trigger::new(events);
        self.removed = false;
    }

    /// The program wants to know nothing more.
    pub(super) fn end(&mut self) {
        self.trigger = Trigger::off();
        self.removed = true;
    }

    fn look(&self) -> Option<Now> {
        self.target.look(self.trigger.interest())
    }

    /// Whether there is something to report.
    fn is_ready(&self) -> bool {
        self.look().is_some_and(|now| self.trigger.peek(&now) != 0)
    }

    /// Has the kernel, whose `epfd` it is in, report what comes; `true` when it is there already.
    fn arm(&self, epfd: c_int, tag: Tag) -> bool {
        if let Some(link) = self.target.link()
            && self.trigger.interest() & WRITES != 0
        {
            // Room that was reported is no news until a write finds none: that write has it looked at again.
            // Said before the look: a short write that does not see this is seen by that.
            link.rests.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
        }
        let Some(now) = self.look() else { return false };
        if self.trigger.peek(&now) != 0 {
            return true;
        }
        if let Target::Flows(socket) = &self.target {
            socket.arm();
        } else {
            if let Some(link) = self.target.link() {
                readiness::arm(self.fd, link, self.trigger.interest(), &now);
            }
            // An answer to a pending connect comes as bytes do.
            let is_full = now.mask & WRITES == 0 && self.target.is_established();
            if self.trigger.interest() & WRITES != 0 && is_full && !self.room.replace(true) {
                // Fails only for what is not there any more. Room that came meanwhile is reported at once.
                let _ = tell(epfd, tag, self, Tell::Modify);
            }
        }
        self.is_ready()
    }
}

#[derive(Default)]
struct Place {
    generation: u32,
    registration: Option<Registration>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Set {
    places: Vec<Place>,
    free: Vec<u32>,
    /// Place of a descriptor, plus one.
    by_fd: Vec<u32>,
    hot: Vec<u32>,
    /// Where the next round through `hot` starts, so that none starves.
    cursor: usize,
    /// Registrations that are no sessions.
    others: usize,
    /// Listeners whose agent is gone.
    pub(super) parked: usize,
}

/// Looks without success after which a registration is left to the kernel, while few are looked at.
const QUIET_LIMIT: u32 = 64;

fn patience(hot: usize) -> u32 {
    let hot = u32::try_from(hot).unwrap_or(u32::MAX).max(1);
    (QUIET_LIMIT * QUIET_LIMIT / hot).clamp(4, QUIET_LIMIT)
}

impl Set {
    /// A place for a registration to come; `None` when there are too many.
    pub(super) fn reserve(&mut self) -> Option<Tag> {
        let index = if let Some(&index) = self.free.last() {
            index
        } else {
            let index = u32::try_from(self.places.len()).ok().filter(|&at| at < Tag::LIMIT)?;
            self.places.push(Place::default());
            self.free.push(index);
            index
        };
        Some(Tag { index, generation: self.places.get(index as usize)?.generation })
    }

    /// Puts a registration in the place just reserved.
    pub(super) fn insert(&mut self, tag: Tag, registration: Registration) {
        let Ok(fd) = usize::try_from(registration.fd) else { return };
        if let Some(at) = self.free.iter().rposition(|&it| it == tag.index) {
            self.free.swap_remove(at);
        }
        if self.by_fd.len() <= fd {
            self.by_fd.resize(fd + 1, 0);
        }
        self.by_fd[fd] = tag.index + 1;
        registration.target.watch(1);
        self.others += usize::from(!registration.target.has_rings());
        self.places[tag.index as usize].registration = Some(registration);
        self.heat(tag.index);
    }

    /// Takes the registration of `fd` out.
    pub(super) fn remove(&mut self, fd: c_int) -> Option<Registration> {
        let index = self.index(fd)?;
        let place = self.places.get_mut(index as usize)?;
        let registration = place.registration.take()?;
        place.generation = Tag::next(place.generation);
        self.free.push(index);
        self.by_fd[usize::try_from(fd).ok()?] = 0;
        if registration.hot {
            self.hot.retain(|&it| it != index);
        }
        if registration.parked {
            self.parked -= 1;
        }
        registration.target.watch(-1);
        self.others -= usize::from(!registration.target.has_rings());
        Some(registration)
    }

    /// The registration of `fd` is of something else from now on.
    pub(super) fn retarget(&mut self, fd: c_int, target: Target) {
        let Some(old) = self.remove(fd) else { return };
        let Some(tag) = self.reserve() else { return };
        self.insert(tag, Registration::new(fd, target, old.events, old.data));
    }

    /// The agent of a listener went away, or came back.
    pub(super) fn park(&mut self, fd: c_int, parked: bool) {
        let Some((_, it)) = self.of(fd) else { return };
        if it.parked != parked {
            it.parked = parked;
            self.parked = if parked { self.parked + 1 } else { self.parked - 1 };
        }
    }

    fn index(&self, fd: c_int) -> Option<u32> {
        self.by_fd.get(usize::try_from(fd).ok()?)?.checked_sub(1)
    }

    /// The registration of `fd`.
    pub(super) fn of(&mut self, fd: c_int) -> Option<(Tag, &mut Registration)> {
        let index = self.index(fd)?;
        let place = self.places.get_mut(index as usize)?;
        let tag = Tag { index, generation: place.generation };
        Some((tag, place.registration.as_mut()?))
    }

    /// The registration of `fd`, if it is that of `socket`.
    pub(super) fn of_socket(
        &mut self,
        fd: c_int,
        socket: &Arc<Socket>,
    ) -> Option<(Tag, &mut Registration)> {
        self.of(fd).filter(|(_, it)| it.target.is(socket))
    }

    /// The registration that a tag names, if it is still there.
    pub(super) fn get(&mut self, tag: Tag) -> Option<&mut Registration> {
        let place = self.places.get_mut(tag.index as usize)?;
        place.registration.as_mut().filter(|_| place.generation == tag.generation)
    }

    /// Registrations of listeners whose agent is gone.
    pub(super) fn parked(&self) -> impl Iterator<Item = (c_int, &Target)> {
        let all = self.places.iter().filter_map(|place| place.registration.as_ref());
        all.filter(|it| it.parked).map(|it| (it.fd, &it.target))
    }

    /// The registrations of a session, whichever of its descriptors they are of.
    pub(super) fn all_of(&self, link: &Link) -> Vec<u32> {
        let places = (0..).zip(&self.places);
        let is = |it: &Registration| it.target.link().is_some_and(|own| core::ptr::eq(own, link));
        let own = |place: &Place| place.registration.as_ref().is_some_and(is);
        places.filter(|(_, place)| own(place)).map(|(index, _)| index).collect()
    }

    /// From now on the registration is looked at.
    pub(super) fn heat(&mut self, index: u32) {
        let place = self.places.get_mut(index as usize);
        if let Some(it) = place.and_then(|place| place.registration.as_mut())
            && it.target.has_rings()
        {
            it.quiet = 0;
            if !it.hot && !it.trigger.is_spent() {
                it.hot = true;
                self.hot.push(index);
            }
        }
    }

    /// Whether there are registrations that are no sessions.
    pub(super) fn has_others(&self) -> bool {
        self.others > 0
    }

    pub(super) fn has_hot(&self) -> bool {
        !self.hot.is_empty()
    }

    /// Looks at every hot registration once, and reports those that are ready as events and data, at
    /// most `limit`. With `ageing`, those that were quiet for long are left to the kernel, by its `epfd`.
    pub(super) fn collect(
        &mut self,
        limit: usize,
        ageing: Option<c_int>,
        mut report: impl FnMut(usize, u32, u64),
    ) -> usize {
        let total = self.hot.len();
        let patience = patience(total);
        let (mut found, mut cooled) = (0, false);
        let mut at = if self.cursor < total { self.cursor } else { 0 };
        for _ in 0..total {
            if found == limit {
                break;
            }
            let index = self.hot[at];
            at = if at + 1 == total { 0 } else { at + 1 };
            let Some(place) = self.places.get_mut(index as usize) else { continue };
            let tag = Tag { index, generation: place.generation };
            let Some(it) = place.registration.as_mut() else { continue };
            let Some(now) = it.target.look(it.trigger.interest()) else { continue };
            let events = it.trigger.judge(&now);
            if events != 0 {
                report(found, events, it.data);
                found += 1;
                it.quiet = 0;
                it.hot = !it.trigger.is_spent();
            } else if let Some(epfd) = ageing {
                it.quiet += 1;
                it.hot = it.quiet < patience || it.arm(epfd, tag);
            }
            cooled |= !it.hot;
        }
        self.cursor = at;
        if cooled {
            self.drop_cold();
        }
        found
    }

    fn drop_cold(&mut self) {
        let places = &self.places;
        let (cursor, mut at, mut before) = (self.cursor, 0, 0);
        self.hot.retain(|&index| {
            let keep = places[index as usize].registration.as_ref().is_some_and(|it| it.hot);
            before += usize::from(keep && at < cursor);
            at += 1;
            keep
        });
        self.cursor = before;
    }

    /// Has the kernel report what comes to any registration; `true` when something is there already.
    pub(super) fn arm(&self, epfd: c_int) -> bool {
        self.hot.iter().any(|&index| self.arm_one(index, epfd))
    }

    /// What [`arm`](Self::arm) did is undone: somebody looks.
    pub(super) fn disarm(&self) {
        self.hot_ones().for_each(|it| it.target.disarm());
    }

    /// Whether there is something to report.
    pub(super) fn is_ready(&self) -> bool {
        self.hot_ones().any(Registration::is_ready)
    }

    /// As [`arm`](Self::arm) for one registration.
    pub(super) fn arm_one(&self, index: u32, epfd: c_int) -> bool {
        let Some(place) = self.places.get(index as usize) else { return false };
        let tag = Tag { index, generation: place.generation };
        place.registration.as_ref().is_some_and(|it| it.arm(epfd, tag))
    }

    fn hot_ones(&self) -> impl Iterator<Item = &Registration> {
        self.hot.iter().filter_map(|&index| self.places[index as usize].registration.as_ref())
    }
}
