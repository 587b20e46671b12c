//! Docker's remote network driver protocol: JSON over HTTP on a unix socket.
//!
//! * [`wire`]: the requests and replies as Docker spells them.
//! * [`options`]: the table of options that this driver knows.
//! * [`request`]: wire requests become model values that cannot be wrong.
//! * [`routes`]: from a path to a call of the driver and back to a reply.
//!
//! The protocol is described in `libnetwork/docs/remote.md` of moby; what it leaves open follows
//! `libnetwork/drivers/remote` of moby (read up to 29.x).

pub mod options;
pub mod request;
pub mod routes;
pub mod wire;
