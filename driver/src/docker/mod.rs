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

/// Any small JSON value, for property tests.
#[cfg(test)]
pub(crate) fn any_json() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
    use proptest::prelude::*;
    use serde_json::Value;

    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(".{0,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
