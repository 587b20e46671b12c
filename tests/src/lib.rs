//! Suites against real peers; each is a test binary of its own, see `tests/Cargo.toml`.
