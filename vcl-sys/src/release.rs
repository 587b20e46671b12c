//! Releases of VPP: what libraries and daemons say of themselves. Pure.

use std::fmt;

/// The first part of the file name of every libvppcom.
pub const LIBRARY_STEM: &str = "libvppcom.so";

/// A release of VPP, such as 26.06, or 22.06.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// The year, without its century.
    pub year: u8,
    /// The month.
    pub month: u8,
    /// The maintenance release, 0 for the first one.
    pub patch: u8,
}

impl Release {
    /// The oldest release whose libvppcom this crate calls: before it, attributes from 34 on had other
    /// numbers and `vppcom_session_shutdown` had one argument less (VPP `vppcom.h`, v21.06 and v21.10).
    pub const OLDEST: Self = Self::new(21, 10);

    /// The release of a year and a month.
    pub const fn new(year: u8, month: u8) -> Self {
        Self { year, month, patch: 0 }
    }

    /// What the name of a library's file says: `libvppcom.so.26.06`.
    pub fn of_file_name(name: &str) -> Option<Self> {
        Self::at_start(name.strip_prefix(LIBRARY_STEM)?.strip_prefix('.')?)
            .filter(|(_, rest)| rest.is_empty())
            .map(|(release, _)| release)
    }

    /// What VPP says of itself: `26.06-release`, `v22.06.1-4~g2fe2`.
    pub fn of_version(text: &str) -> Option<Self> {
        let text = text.trim();
        let (release, rest) = Self::at_start(text.strip_prefix('v').unwrap_or(text))?;
        rest.chars().next().is_none_or(|next| !next.is_ascii_alphanumeric()).then_some(release)
    }

    /// What the contents of a library say: its `SONAME` stands among its strings.
    pub fn of_contents(bytes: &[u8]) -> Option<Self> {
        let stem = LIBRARY_STEM.as_bytes();
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(stem.len()).position(|it| it == stem) {
            let start = at + found;
            let text = bytes[start..].split(|byte| *byte == 0).next().unwrap_or_default();
            let release = std::str::from_utf8(text).ok().and_then(Self::of_file_name);
            if release.is_some() {
                return release;
            }
            at = start + stem.len();
        }
        None
    }

    /// The release that `text` begins with, and what follows it.
    fn at_start(text: &str) -> Option<(Self, &str)> {
        let (year, rest) = two_digits(text)?;
        let (month, rest) = two_digits(rest.strip_prefix('.')?)?;
        if !(1..=12).contains(&month) {
            return None;
        }
        let (patch, rest) = match rest.strip_prefix('.').map(number) {
            Some(Some((patch, rest))) => (patch, rest),
            Some(None) => return None,
            None => (0, rest),
        };
        Some((Self { year, month, patch }, rest))
    }
}

fn two_digits(text: &str) -> Option<(u8, &str)> {
    let (digits, rest) = text.split_at_checked(2)?;
    let all = digits.bytes().all(|it| it.is_ascii_digit());
    Some((digits.parse().ok().filter(|_| all)?, rest))
}

fn number(text: &str) -> Option<(u8, &str)> {
    let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}.{:02}", self.year, self.month)?;
        if self.patch != 0 {
            write!(f, ".{}", self.patch)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn file_names_carry_releases() {
        let of = Release::of_file_name;
        assert_eq!(of("libvppcom.so.26.06"), Some(Release::new(26, 6)));
        assert_eq!(of("libvppcom.so.22.06.1"), Some(Release { year: 22, month: 6, patch: 1 }));
        for bad in [
            "libvppcom.so",
            "libvppcom.so.",
            "libvppcom.so.26",
            "libvppcom.so.26.13",
            "libvppcom.so.26.00",
            "libvppcom.so.26.06.x",
            "libvppcom.so.26.06.999",
            "libvppcom.so.26.06~",
            "libvppcom.so.+6.06",
            "libvlib.so.26.06",
            "libvppcom.so.é.06",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn versions_carry_releases() {
        let of = Release::of_version;
        let june = Release::new(26, 6);
        for good in ["26.06", "v26.06", "26.06-release", "26.06-rc0~12-gabc", " 26.06-1\n"] {
            assert_eq!(of(good), Some(june), "{good}");
        }
        assert_eq!(of("22.06.1-release").map(|it| it.patch), Some(1));
        for bad in ["", "26", "26.6", "26.066", "vv26.06", "release"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn contents_carry_a_soname() {
        let file = b"\x7fELF..libvppcom.so\0libvppcom.so.x\0libvppcom.so.25.10\0libvlib.so.25.10\0";
        assert_eq!(Release::of_contents(file), Some(Release::new(25, 10)));
        assert_eq!(Release::of_contents(b"libvppcom.so.2"), None);
        assert_eq!(Release::of_contents(b""), None);
    }

    #[test]
    fn releases_are_in_order_of_time() {
        let patch = Release { year: 22, month: 6, patch: 1 };
        assert!(Release::new(21, 10) < Release::new(22, 2));
        assert!(Release::new(22, 6) < patch && patch < Release::new(22, 10));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(year in 0u8..100, month in 1u8..=12, patch in 0u8..) {
            let release = Release { year, month, patch };
            prop_assert_eq!(Release::of_version(&release.to_string()), Some(release));
            let name = format!("{LIBRARY_STEM}.{release}");
            prop_assert_eq!(Release::of_file_name(&name), Some(release));
            prop_assert_eq!(Release::of_contents(format!("x{name}\0").as_bytes()), Some(release));
        }

        #[test]
        fn anything_is_survived(bytes: Vec<u8>, text: String) {
            let _ = Release::of_contents(&bytes);
            let _ = Release::of_version(&text);
            let _ = Release::of_file_name(&format!("{LIBRARY_STEM}.{text}"));
        }
    }
}
