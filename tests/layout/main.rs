//! Layout test placeholder.
fn main() {}
