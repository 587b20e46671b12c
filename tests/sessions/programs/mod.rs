//! Programs as users run them, unmodified, in containers of their own.

mod datagrams;
mod hosts;
mod iperf3;
mod python;
mod redis;
mod relays;
mod sockperf;
mod stack;
mod vcl;
mod web;
mod world;
