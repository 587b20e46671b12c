//! The agent behind a real Docker Engine: what users do, and what must not be left behind.
