//! Names: VPP's, and what Rust makes of them.

/// Words that Rust keeps for itself and definitions use.
const KEYWORDS: &[&str] = &[
    "as", "async", "break", "const", "crate", "dyn", "else", "enum", "fn", "for", "if", "impl",
    "in", "let", "loop", "match", "mod", "move", "mut", "priv", "pub", "ref", "return", "self",
    "static", "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while",
    "yield",
];

/// `interface_types` of `vnet/interface_types.api`.
pub(crate) fn api_file(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".api").unwrap_or(name)
}

/// `fib_path` of `vl_api_fib_path_t`; other names as they are.
pub(crate) fn type_name(name: &str) -> &str {
    let inner = name.strip_prefix("vl_api_").and_then(|it| it.strip_suffix("_t"));
    inner.unwrap_or(name)
}

/// `FibPath` of `fib_path`.
pub(crate) fn camel(name: &str) -> String {
    let words = name.split('_').filter(|it| !it.is_empty());
    words
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        })
        .collect()
}

/// A field's or module's name.
pub(crate) fn snake(name: &str) -> String {
    let mut name = name.trim_start_matches('_').to_lowercase();
    if KEYWORDS.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

/// Names of constants: what all names of an enumeration begin with is left out, and so is what stands
/// before `_API_`.
pub(crate) fn constants(names: &[&str]) -> Vec<String> {
    let common = common_words(names);
    let short = |name: &&str| {
        let rest = match common {
            0 if names.len() == 1 => name.split_once("_API_").map_or(*name, |(_, rest)| rest),
            at => &name[at..],
        };
        if rest.starts_with(|it: char| it.is_ascii_digit()) {
            format!("N{rest}")
        } else {
            rest.to_uppercase()
        }
    };
    names.iter().map(short).collect()
}

/// How many bytes of whole words (`A_B_`) all names begin with; none of a single name.
fn common_words(names: &[&str]) -> usize {
    let [first, rest @ ..] = names else { return 0 };
    if rest.is_empty() {
        return 0;
    }
    let ends = first.match_indices('_').map(|(at, _)| at + 1);
    let shared = ends.take_while(|end| rest.iter().all(|it| it.starts_with(&first[..*end])));
    shared.last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_rust() {
        assert_eq!(camel("sw_interface_dump"), "SwInterfaceDump");
        assert_eq!(camel("ip4_address"), "Ip4Address");
        assert_eq!(type_name("vl_api_fib_path_t"), "fib_path");
        assert_eq!(type_name("u32"), "u32");
        assert_eq!(api_file("plugins/nat/lib/nat_types.api"), "nat_types");
        assert_eq!(
            (snake("type"), snake("_pad"), snake("id")),
            ("type_".into(), "pad".into(), "id".into())
        );
    }

    #[test]
    fn constants_lose_what_they_share() {
        assert_eq!(
            constants(&["IF_STATUS_API_FLAG_ADMIN_UP", "IF_STATUS_API_FLAG_LINK_UP"]),
            ["ADMIN_UP", "LINK_UP"]
        );
        assert_eq!(constants(&["RX", "TX"]), ["RX", "TX"]);
        assert_eq!(constants(&["X_API_FLAG_ONE"]), ["FLAG_ONE"]);
        assert_eq!(constants(&["K_4", "K_6"]), ["N4", "N6"]);
    }
}
