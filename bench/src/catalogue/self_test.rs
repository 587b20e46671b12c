//! The suite tests itself: what is injected into a subject has to appear in the figures.

use super::single;
use crate::benchmark::{Benchmark, Bound, Claim, Fault, Metric, Program, Setup, Suite, Waiting};

const PLAIN: &str = "memif-rs as it is";
const DELAYED: &str = "memif-rs, each answer 50 µs late";
const LOSSY: &str = "memif-rs, one answer in 100 missing";

pub(super) fn all() -> Vec<Benchmark> {
    vec![delay_closed(), delay_open(), loss()]
}

/// A delay of 50 µs must be seen within 1 µs: two in a hundred.
fn delay(benchmark: Benchmark) -> Benchmark {
    benchmark.claim(Claim::Difference {
        subject: DELAYED.to_owned(),
        peer: PLAIN.to_owned(),
        bound: Bound::Within { expected: 50.0, tolerance: 1.0 },
    })
}

fn delay_closed() -> Benchmark {
    let of = |fault| Setup::RoundTrip {
        program: Program::Ours,
        length: 64,
        waiting: Waiting::Polling,
        fault,
    };
    delay(
        single(
            "self-test-delay",
            Metric::Microseconds,
            Suite::Quick,
            "The round trip of a frame, and the same with an answer held back for 50 µs.",
        )
        .subject(DELAYED, of(Some(Fault::Delay(50_000))))
        .peer(PLAIN, of(None)),
    )
}

fn paced(fault: Option<Fault>) -> Setup {
    // An answer every 50 µs at most: a rate that leaves room between answers.
    Setup::Paced { length: 64, rate: 5000, waiting: Waiting::Polling, fault }
}

fn delay_open() -> Benchmark {
    delay(
        single(
            "self-test-delay-paced",
            Metric::Microseconds,
            Suite::Quick,
            "The latency at 5000 frames a second, and the same with answers held back for 50 µs.",
        )
        .subject(DELAYED, paced(Some(Fault::Delay(50_000))))
        .peer(PLAIN, paced(None)),
    )
}

fn loss() -> Benchmark {
    let lost = |subject: &str, expected, tolerance| Claim::Detail {
        subject: subject.to_owned(),
        detail: "% lost".to_owned(),
        bound: Bound::Within { expected, tolerance },
    };
    single(
        "self-test-loss",
        Metric::Microseconds,
        Suite::Quick,
        "The share of frames that do not come back at 5000 a second, as it is and with each hundredth \
         frame not answered.",
    )
    .subject(LOSSY, paced(Some(Fault::Loss(100))))
    .peer(PLAIN, paced(None))
    .claim(lost(LOSSY, 1.0, 0.1))
    .claim(lost(PLAIN, 0.0, 0.0))
}
