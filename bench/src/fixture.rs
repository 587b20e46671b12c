//! A small result for tests.

use crate::benchmark::{Benchmark, Bound, Claim, Metric, Party, Scale, Suite};
use crate::contest::{Placement, Plan, Sample};
use crate::cores::Cores;
use crate::latency::Recorder;
use crate::machine::Machine;
use crate::result::{BenchmarkResult, ContestantResult, Method, Outcome, Results};
use crate::statistics::Bootstrap;

/// Two points of a curve with a subject, a measured and an absent peer; latencies at the first.
pub(crate) fn results() -> Results {
    let cores = Cores { first: 0, second: 1 };
    let second = std::time::Duration::from_secs(1);
    let method = Method::new(Suite::Quick, 6, &Plan { cores, warm_up: second, length: second });
    let mut results = Results::new(method, Machine::describe(cores));
    results.benchmarks =
        [(2.0, 40.0), (64.0, 60.0)].map(|(at, figure)| benchmark(at, figure)).into();
    results
}

fn benchmark(at: f64, figure: f64) -> BenchmarkResult {
    let description = Benchmark {
        name: format!("bridge-ports-{at}"),
        family: "bridge-ports",
        scale: Some(Scale { axis: "ports".to_owned(), at }),
        about: "Frames & <ports>.".to_owned(),
        metric: Metric::NanosecondsPerPacket,
        suite: Suite::Quick,
        contestants: Vec::new(),
        claims: vec![Claim::Ratio {
            subject: "ours".to_owned(),
            peer: "theirs".to_owned(),
            bound: Some(Bound::AtMost(0.8)),
        }],
    };
    let contestants = vec![
        contestant("ours", Party::Subject, measured(figure)),
        contestant("theirs", Party::Peer, measured(figure * 2.0)),
        contestant("absent", Party::Peer, Outcome::Absent { reason: "needs <it>".to_owned() }),
    ];
    BenchmarkResult::new(&description, contestants, true, &Bootstrap::default())
}

fn contestant(name: &str, party: Party, outcome: Outcome) -> ContestantResult {
    let placement = vec![Placement { what: "all".to_owned(), cpu: Some(1) }];
    ContestantResult { name: name.to_owned(), party, placement, outcome }
}

fn measured(figure: f64) -> Outcome {
    let mut recorder = Recorder::default();
    (1..=1000).for_each(|it| recorder.record(it * 100));
    let sample = |round: u32| {
        let value = figure + f64::from(round) / 10.0;
        let mut sample = Sample::new(value, [("frames", 1000.0)]).expect("a figure");
        sample.round = Some(round);
        sample
    };
    Outcome::of((1..=6).map(sample).collect(), Vec::new(), recorder.latencies())
}
