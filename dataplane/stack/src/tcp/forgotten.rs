//! What smoltcp 0.14 has no timer for although the peer still lacks something, and how it goes on.

use std::time::{Duration, Instant};

use dataplane::packet::EtherType;
use smoltcp::socket::tcp::State;

use super::connection::Connection;
use super::device::Path;
use super::segment::{Control, Flow, HEADER_LEN, Kind};
use crate::environment::Environment;
use crate::headers::ip_len;
use crate::link::Link;

/// How soon a FIN is repeated; each time later than before.
const FIN_INTERVAL: Duration = Duration::from_secs(1);
const FIN_INTERVAL_LONGEST: Duration = Duration::from_mins(1);
/// How soon data is: later than any acknowledgement that is still on its way.
const DATA_INTERVAL: Duration = Duration::from_millis(200);

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forgotten {
    /// It stops the timer for a repetition after the third acknowledgement of the same number; when by then
    /// all data was acknowledged and only the FIN was not, there is no data to repeat, and it starts no other.
    Fin,
    /// While the window is closed a timer for probes takes the place of that for repetitions, and is stopped
    /// when the window opens. What was under way when the window shrank, as it does with peers that round
    /// what they offer down, is lost then. A repetition that is due while the window is closed stops the
    /// timer as well.
    Data,
}

impl Connection {
    /// What is without a timer, if smoltcp wants to be polled at `poll_at`.
    fn forgotten(&self, poll_at: Option<Instant>) -> Option<Forgotten> {
        if poll_at.is_some() {
            return None;
        }
        let queued = self.socket().send_queue() > 0;
        let closing = matches!(self.state, State::FinWait1 | State::Closing | State::LastAck);
        let open = matches!(self.state, State::Established | State::CloseWait);
        if queued && (open || closing) {
            Some(Forgotten::Data)
        } else {
            closing.then_some(Forgotten::Fin)
        }
    }

    /// When [`Connection::remind`] has something to do, if smoltcp wants to be polled at `poll_at`.
    pub(super) fn next_reminder(
        &mut self,
        poll_at: Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        let Some(forgotten) = self.forgotten(poll_at) else {
            self.reminder = None;
            return None;
        };
        let interval = match forgotten {
            Forgotten::Fin => FIN_INTERVAL,
            Forgotten::Data => DATA_INTERVAL,
        };
        Some(self.reminder.get_or_insert((now + interval, interval)).0)
    }

    /// Goes on with what was forgotten, if it is time.
    pub(super) fn remind<L: Link>(&mut self, path: &Path, env: &mut Environment<'_>, link: &mut L) {
        let Some((_, interval)) = self.reminder.filter(|&(at, _)| at <= env.now) else { return };
        let interval = (interval * 2).min(FIN_INTERVAL_LONGEST);
        self.reminder = Some((env.now + interval, interval));
        let poll_at = self.poll_at(env.clock, env.now);
        match self.forgotten(poll_at) {
            Some(Forgotten::Fin) => self.repeat_fin(path, env, link),
            Some(Forgotten::Data) => self.repeat_acknowledgement(path, env, link),
            None => {}
        }
    }

    fn repeat_fin<L: Link>(&self, path: &Path, env: &mut Environment<'_>, link: &mut L) {
        let Some(last) = self.last_sent else { return };
        // The FIN is the last thing that was sent.
        let seq = last.end.wrapping_sub(1);
        let ack = Some(last.expected);
        let control = Control { seq, ack, kind: Kind::Finish, window: last.window };
        let flow = self.flow;
        let ether_type = if flow.local.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let len = ip_len(flow.remote.ip()) + HEADER_LEN;
        env.reply(path.dst_mac, ether_type, len, link, |packet| control.write(&flow, packet));
    }

    /// Tells smoltcp once more what the peer said last: with a closed window it probes then, otherwise
    /// the third repetition of the same acknowledgement has it repeat the data (RFC 5681, 3.2).
    fn repeat_acknowledgement<L: Link>(
        &mut self,
        path: &Path,
        env: &mut Environment<'_>,
        link: &mut L,
    ) {
        let (Some(last), Some((acknowledged, window))) = (self.last_sent, self.offer.latest())
        else {
            return;
        };
        // A change of the window makes it count anew.
        let windows: &[u16] =
            if window == 0 { &[0] } else { &[window ^ 1, window, window, window, window] };
        let back = Flow { local: self.flow.remote, remote: self.flow.local };
        let mut packet = vec![0; ip_len(self.flow.local.ip()) + HEADER_LEN];
        for &window in windows {
            let seq = last.expected;
            let control = Control { seq, ack: Some(acknowledged), kind: Kind::Acknowledge, window };
            control.write(&back, &mut packet);
            let sent = self.ingress(env.smoltcp_now(), &packet, path, link);
            env.counters.frames_out += u64::from(sent.frames);
        }
    }
}
