//! A VPP that speaks its API socket from recorded exchanges, and what records them.
//!
//! A scenario is code that drives an engine and looks at VPP; a [`Scene`] gives it the VPP:
//!
//! * [`Scene::real`]: one that runs. Nothing is between it and the engine; or, where the environment asks for
//!   recordings, a relay that writes down what the engine and VPP say to each other.
//! * [`Scene::played`]: none. A [`ScriptedVpp`] answers from the recording, and takes nothing that is not in it.
//!
//! What makes a recording the same each time is that VPP's events are held back until the scenario looks at VPP or
//! [settles](Scene::settle): an engine that hears nothing does nothing by itself.
//!
//! How strict it is: requests that change something come exactly as recorded, in the same order, field by field.
//! Requests that only ask come in the recorded order too, and may come again as long as nothing has changed since.
//! Contexts, client indices and message numbers are each connection's own; folders are named alike in recordings; what
//! else varies between two runs is in `varying.rs`. Pings are answered and not recorded.
//!
//! * `entry`, `format`: a recording, and its text. `message`: VPP's messages by name. `varying`: what varies. Pure.
//! * `script`: what is expected next. Pure.
//! * `stream`: messages on a socket. `recorder`, `player`: both kinds of VPP's socket. `counters`: the other socket.

mod counters;
mod entry;
mod format;
mod message;
mod player;
mod recorder;
mod scene;
mod script;
mod stream;
mod varying;

pub use player::ScriptedVpp;
pub use scene::{Recordings, Scene};
