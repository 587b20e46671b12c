//! What is given to people: the Debian package and the managed plugin, installed, used, upgraded and removed.

mod deb;
mod made;
mod plugin;
mod pulse;
mod upgrade;
