//! What is given to people: the Debian package and the managed plugin, installed, used, upgraded and removed.

mod deb;
mod machine;
mod made;
mod plugin;
mod pulse;
mod service;
mod upgrade;
