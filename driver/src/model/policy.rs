//! What a container may send: under which addresses, and how much.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much of what an endpoint says about itself must be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Antispoof {
    /// Its Ethernet and its IP addresses.
    Full,
    /// Its Ethernet address: it may forward packets of others.
    Mac,
    /// Nothing; but what belongs to another endpoint stays there.
    None,
}

impl Antispoof {
    /// What the option accepts.
    pub const VALUES: &str = "full|mac|none";

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Mac => "mac",
            Self::None => "none",
        }
    }
}

impl FromStr for Antispoof {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Full, Self::Mac, Self::None];
        all.into_iter().find(|it| text.eq_ignore_ascii_case(it.name())).ok_or(())
    }
}

impl fmt::Display for Antispoof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What may pass in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RateLimit {
    /// As much as there is.
    None,
    /// A rate, 1..=10^12, and what may pass at once, likewise, or else a share of the rate.
    Limited {
        /// On average.
        per_second: u64,
        /// At once.
        burst: Option<u64>,
    },
}

impl RateLimit {
    /// What the options accept.
    pub const VALUES: &str =
        "none or RATE or RATE/BURST, numbers 1..1000G with or without k, M or G";
    /// The largest rate and burst.
    const MOST: u64 = 1_000_000_000_000;

    /// The rate and the burst, `default_burst` of the rate unless said; `None` without a limit.
    pub fn rate(self, default_burst: impl FnOnce(u64) -> u64) -> Option<(u64, u64)> {
        match self {
            Self::None => None,
            Self::Limited { per_second, burst } => {
                Some((per_second, burst.unwrap_or_else(|| default_burst(per_second))))
            }
        }
    }
}

/// The text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is {}", RateLimit::VALUES)]
pub struct ParseRateError;

impl FromStr for RateLimit {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, ParseRateError> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::None);
        }
        let (rate, burst) = match text.split_once('/') {
            Some((rate, burst)) => (rate, Some(number(burst)?)),
            None => (text, None),
        };
        Ok(Self::Limited { per_second: number(rate)?, burst })
    }
}

/// A number with or without a unit of 1000, its square or its cube.
fn number(text: &str) -> Result<u64, ParseRateError> {
    let text = text.trim();
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1000),
        Some((at, 'm' | 'M')) => (&text[..at], 1_000_000),
        Some((at, 'g' | 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    // `parse` would take a sign.
    let plain = digits.trim_end().bytes().all(|digit| digit.is_ascii_digit());
    let number = plain.then(|| digits.trim_end().parse::<u64>().ok()).flatten();
    number
        .and_then(|number| number.checked_mul(factor))
        .filter(|number| (1..=RateLimit::MOST).contains(number))
        .ok_or(ParseRateError)
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Limited { per_second, burst: None } => write!(f, "{per_second}"),
            Self::Limited { per_second, burst: Some(burst) } => write!(f, "{per_second}/{burst}"),
        }
    }
}

impl TryFrom<String> for RateLimit {
    type Error = ParseRateError;

    fn try_from(text: String) -> Result<Self, ParseRateError> {
        text.parse()
    }
}

impl From<RateLimit> for String {
    fn from(limit: RateLimit) -> Self {
        limit.to_string()
    }
}

/// What an endpoint may send; what is `None` is the default of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PolicyOptions {
    /// Under which addresses.
    pub antispoof: Option<Antispoof>,
    /// Frames in a second.
    pub packets: Option<RateLimit>,
    /// Bits of frames in a second.
    pub bits: Option<RateLimit>,
    /// Sessions that it makes in a second.
    pub sessions: Option<RateLimit>,
}

impl PolicyOptions {
    /// These, and where they say nothing `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            antispoof: self.antispoof.or(others.antispoof),
            packets: self.packets.or(others.packets),
            bits: self.bits.or(others.bits),
            sessions: self.sessions.or(others.sessions),
        }
    }

    /// The limits that there are, by the names of their options.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, RateLimit)> + use<> {
        let all = [
            ("rate.packets", self.packets),
            ("rate.bits", self.bits),
            ("rate.sessions", self.sessions),
        ];
        let given = all.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
        given.filter(|(_, limit)| *limit != RateLimit::None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_have_units_and_bursts() {
        let limited = |per_second, burst| Ok(RateLimit::Limited { per_second, burst });
        assert_eq!("1000".parse(), limited(1000, None));
        assert_eq!("100m/1M".parse(), limited(100_000_000, Some(1_000_000)));
        assert_eq!("10 G".parse(), limited(10_000_000_000, None));
        assert_eq!("None".parse(), Ok(RateLimit::None));
        for bad in
            ["", "0", "-1", "+1", "1/0", "1/", "/1", "1t", "k", "1001G", "1.5M", "1/2/3", "é"]
        {
            assert_eq!(bad.parse::<RateLimit>(), Err(ParseRateError), "{bad}");
        }
    }

    #[test]
    fn a_burst_that_is_not_said_follows_from_the_rate() {
        let limit: RateLimit = "500".parse().unwrap();
        assert_eq!(limit.rate(|rate| rate / 10), Some((500, 50)));
        assert_eq!("500/7".parse::<RateLimit>().unwrap().rate(|rate| rate), Some((500, 7)));
        assert_eq!(RateLimit::None.rate(|rate| rate), None);
    }

    #[test]
    fn what_is_off_is_no_limit() {
        let one = RateLimit::Limited { per_second: 1, burst: None };
        let options = PolicyOptions { packets: Some(RateLimit::None), ..PolicyOptions::default() };
        let network = PolicyOptions { packets: Some(one), bits: Some(one), ..options };
        let limits: Vec<_> = options.or(network).limits().collect();
        assert_eq!(limits, [("rate.bits", one)]);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(per_second in 1..=RateLimit::MOST, burst in proptest::option::of(1..=RateLimit::MOST)) {
            let limit = RateLimit::Limited { per_second, burst };
            prop_assert_eq!(limit.to_string().parse(), Ok(limit));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}") {
            let _ = text.parse::<RateLimit>();
        }
    }
}
