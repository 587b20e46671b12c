//! What a container that means harm does to the others on its network.

use super::single;
use crate::benchmark::{Benchmark, Bound, Metric, Setup, Suite};

const DISTURBED_SESSION: &str = "dockervpp sessions, disturbed";
const SESSION: &str = "dockervpp sessions, undisturbed";
const DISTURBED_TAP: &str = "dockervpp, TAP, disturbed";
const TAP: &str = "dockervpp, TAP, undisturbed";

pub(super) fn all() -> Vec<Benchmark> {
    let about = "iperf3, one TCP stream between two containers, while a third sends 100,000 frames a second that it must not \
         send, in turn: of another Ethernet source, of another IPv4 source, ARP and neighbour discovery in the name \
         of another, broadcasts (more than an endpoint may), longer than the MTU, too short for a header. The peer \
         is the same with a third container that is awake as often and sends nothing.";
    let setup = |shim, hostile| Setup::Neighbours { shim, hostile };
    vec![
        single("disturbed-stream", Metric::GigabitsPerSecond, Suite::Quick, about)
            .subject(DISTURBED_SESSION, setup(true, true))
            .peer(SESSION, setup(true, false))
            .subject(DISTURBED_TAP, setup(false, true))
            .peer(TAP, setup(false, false))
            .ratio(DISTURBED_SESSION, SESSION, Bound::AtLeast(0.9))
            .ratio(DISTURBED_TAP, TAP, Bound::AtLeast(0.9)),
    ]
}
