//! Unmodified programs over sessions: in real containers, with the preload library and a real agent.

mod conformance;
mod delivery;
mod endurance;
mod hostile;
mod pair;
mod programs;
