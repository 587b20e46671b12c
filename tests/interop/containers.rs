//! testpmd in containers that the agent attached: two of them, and the bridge between.
