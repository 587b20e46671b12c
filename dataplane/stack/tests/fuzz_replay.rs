//! The fuzz target's seeds, every input that ever was a finding, and random inputs, as a normal test.

mod fuzzed;
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

use proptest::prelude::*;

#[test]
fn seeds_and_findings() {
    replay::replay("stack_frames", fuzzed::stack_frames);
}

fn step() -> impl Strategy<Value = Vec<u8>> {
    let ticks = |most: u16| (0..most).prop_map(|n| [&[4][..], &n.to_le_bytes()].concat());
    let honest = any::<bool>().prop_map(|whole| vec![6, whole.into(), 0xff, 0xff, 0]);
    let spoilt = (any::<bool>(), 0..80u8, any::<u8>())
        .prop_map(|(whole, at, value)| vec![6, whole.into(), at, 0, value]);
    let act = (0..7u8, 0..4u8, any::<u16>())
        .prop_map(|(what, which, amount)| [&[5, what, which][..], &amount.to_le_bytes()].concat());
    let bytes = |kind: u8, most: usize| {
        proptest::collection::vec(any::<u8>(), 0..most).prop_map(move |bytes| {
            let mut step = vec![kind];
            step.extend(bytes);
            step
        })
    };
    prop_oneof![
        8 => honest,
        2 => spoilt,
        4 => ticks(20),
        1 => ticks(u16::MAX),
        3 => act,
        2 => bytes(2, 60),
        2 => bytes(3, 300),
        1 => bytes(1, 60),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Mostly honest answers, so that connections get somewhere before something goes wrong.
    #[test]
    fn conversations(steps in proptest::collection::vec(step(), 0..80)) {
        fuzzed::stack_frames(&steps.concat());
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        fuzzed::stack_frames(&bytes);
    }
}
