//! The `dockervpp` command.

fn main() {}
