//! What the agent's table and chain are called. Pure.

/// The longest name of a chain of iptables (`XT_EXTENSION_MAXNAMELEN` less its end, `linux/netfilter/x_tables.h`).
const LONGEST: usize = 28;

/// All names begin so: nobody else's table does, and no word of nft's language.
const PREFIX: &str = "dockervpp";

/// The name of the nftables table and of the iptables chain of an agent, which two agents on one host do
/// not share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// Of the agent whose driver has this name.
    pub(super) fn of(owner: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let text: String = owner.chars().map(plain).collect();
        let whole = if owner == PREFIX { text } else { format!("{PREFIX}-{text}") };
        if whole.len() <= LONGEST && owner.chars().all(|c| plain(c) == c) {
            return Self(whole);
        }
        // Something of it was lost, so that another owner could get the same.
        let hash = fingerprint(owner) & 0xffff_ffff;
        let start: String = whole.chars().take(LONGEST - 9).collect();
        Self(format!("{start}-{hash:08x}"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether some agent's table and chain could have this name.
    pub(super) fn is_one(text: &str) -> bool {
        text.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

/// FNV-1a, 64 bits: not a secret, only evenly spread.
pub(super) fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_usual_names_are_plain() {
        assert_eq!(Name::of("dockervpp").as_str(), "dockervpp");
        assert_eq!(Name::of("second").as_str(), "dockervpp-second");
        assert_ne!(Name::of("a.b"), Name::of("a-b"));
    }

    proptest! {
        #[test]
        fn every_name_is_taken_by_nft_and_iptables(owner in ".{0,80}") {
            let name = Name::of(&owner);
            prop_assert!(name.as_str().len() <= LONGEST && name.as_str().starts_with(PREFIX));
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            prop_assert!(name.as_str().chars().all(plain));
        }

        #[test]
        fn names_differ(one in "[a-zA-Z.-]{1,40}", two in "[a-zA-Z.-]{1,40}") {
            prop_assert_eq!(one == two, Name::of(&one) == Name::of(&two));
        }
    }
}
