//! memif against DPDK's `dpdk-testpmd`, both roles, on the host and inside Docker containers.

mod anchor;
