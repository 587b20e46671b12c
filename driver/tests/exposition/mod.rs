//! A strict reader of Prometheus's text format, version 0.0.4: what Prometheus would tolerate but should not
//! have to fails the test.

use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// A scrape.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    samples: BTreeMap<(String, Labels), f64>,
}

impl Exposition {
    /// Reads a scrape; panics at the first line that breaks a rule.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line must end");
        let mut all = Self::default();
        let mut finished = BTreeSet::new();
        let mut family: Option<(String, String)> = None;
        let mut help: Option<String> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, words) = rest.split_once(' ').expect("HELP has a text");
                assert!(!words.is_empty() && help.is_none(), "{line}");
                help = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("TYPE has a type");
                assert_eq!(help.take().as_deref(), Some(name), "HELP stands before TYPE: {line}");
                assert!(finished.insert(name.to_owned()), "{name} comes twice");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                family = Some((name.to_owned(), kind.to_owned()));
            } else {
                let (name, kind) = family.as_ref().expect("TYPE stands before samples");
                let (sample, labels, value) = sample(line);
                assert!(belongs(&sample, name, kind), "{line} is not of {name}");
                assert!(name.starts_with("dockervpp_"), "{line}");
                assert!(kind == "gauge" || value >= 0.0, "{line}");
                assert!(all.samples.insert((sample, labels), value).is_none(), "twice: {line}");
            }
        }
        all.check_histograms();
        all
    }

    /// The value of one series.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.samples.get(&(name.to_owned(), labels.collect())).copied()
    }

    /// Buckets grow with their bound, and the last of them counts everything.
    fn check_histograms(&self) {
        let mut buckets: BTreeMap<(&str, Labels), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            let Some(name) = name.strip_suffix("_bucket") else { continue };
            let mut labels = labels.clone();
            let bound = number(&labels.remove("le").expect("a bucket has a bound"));
            buckets.entry((name, labels)).or_default().push((bound, *value));
        }
        for ((name, labels), mut list) in buckets {
            list.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(list.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name} {list:?}");
            let last = list.last().expect("a bucket");
            assert!(last.0.is_infinite(), "{name} has no bucket +Inf");
            let count = self.samples.get(&(format!("{name}_count"), labels)).copied();
            assert_eq!(count, Some(last.1), "{name}");
        }
    }
}

fn belongs(sample: &str, family: &str, kind: &str) -> bool {
    match sample.strip_prefix(family) {
        Some("") => kind != "histogram",
        Some("_bucket" | "_sum" | "_count") => kind == "histogram",
        _ => false,
    }
}

/// `name{label="value",…} value`, without a time stamp.
fn sample(line: &str) -> (String, Labels, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, labels(rest.strip_suffix('}').expect("labels end"))),
        None => (series, Labels::new()),
    };
    assert!(is_name(name), "{line}");
    (name.to_owned(), labels, number(value))
}

fn labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").expect("a label has a value");
        assert!(is_name(name) && !name.contains(':') && !name.starts_with("__"), "{text}");
        // Ids and words of the program need no escapes.
        let (value, after) = after.split_once('"').expect("a value ends");
        assert!(!value.contains('\\'), "{text}");
        assert!(labels.insert(name.to_owned(), value.to_owned()).is_none(), "{text}");
        let more = after.strip_prefix(',');
        assert!(more.map_or(after.is_empty(), |more| !more.is_empty()), "{text}");
        rest = more.unwrap_or_default();
    }
    labels
}

fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    text.bytes().next().is_some_and(letter)
        && text.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        _ => text.parse().unwrap_or_else(|_| panic!("`{text}` is no number")),
    }
}
