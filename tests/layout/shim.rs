//! The preload library's documentation names what the library exports, and nothing else.

use std::collections::BTreeSet;
use std::fs;

use crate::{hold, root};

/// Names that the sources of the exports give to the C library's callers.
fn exported() -> BTreeSet<String> {
    let folder = root().join("vcl-sys/shim/src/exports");
    let files = fs::read_dir(folder).expect("the preload library has exports");
    let mut names = BTreeSet::new();
    for file in files {
        let path = file.expect("the folder can be read").path();
        let text = fs::read_to_string(path).expect("sources are UTF-8");
        names.extend(names_in(&text));
    }
    names
}

fn names_in(text: &str) -> Vec<String> {
    let word = |text: &str| {
        let end = text.find(|it: char| !it.is_alphanumeric() && it != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let mut names = Vec::new();
    for item in text.split("#[cfg_attr(not(test), unsafe(").skip(1) {
        if let Some(name) = item.strip_prefix("export_name = \"") {
            names.push(word(name));
        } else if let Some((_, name)) = item.split_once("extern \"C\" fn ") {
            names.push(word(name));
        }
    }
    names.extend(text.split("\nvariadic!(").skip(1).map(word));
    names.retain(|name| !name.is_empty());
    names
}

/// Names in the first column of the table of calls.
fn documented(page: &str) -> BTreeSet<String> {
    let section = page.split_once("\n## Calls").expect("the page has a table of calls").1;
    let section = section.split_once("\n## ").expect("more follows").0;
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| {
        let cell = row.split_once(" | ").expect("rows have columns").0;
        cell.split('`').map(str::to_owned).collect::<Vec<_>>()
    })
    .filter(|name| !name.trim_matches([',', ' ']).is_empty())
    .collect()
}

#[test]
fn every_call_that_is_taken_over_has_a_row_and_every_row_a_call() {
    let page = fs::read_to_string(root().join("docs/shim.md")).expect("docs/shim.md is there");
    let (exported, documented) = (exported(), documented(&page));
    assert!(exported.contains("epoll_wait"), "the exports were not found");
    let missing = exported.difference(&documented).map(|it| format!("{it} has no row"));
    let surplus = documented.difference(&exported).map(|it| format!("{it} is not exported"));
    let broken: Vec<_> = missing.chain(surplus).collect();
    hold("docs/shim.md lists the calls that vcl-sys/shim/src/exports takes over", &broken);
}

#[test]
fn names_are_found_where_they_stand() {
    let text = "#[cfg_attr(not(test), unsafe(no_mangle))]\npub unsafe extern \"C\" fn read(\n\
        #[cfg_attr(not(test), unsafe(export_name = \"send\"))]\npub unsafe extern \"C\" fn other(\n\
        #[cfg_attr(not(test), unsafe(no_mangle))]\npub unsafe extern \"C\" fn $name(\n\
        variadic!(dprintf, x);\n";
    assert_eq!(names_in(text), ["read", "send", "dprintf"]);
    let page = "\n## Calls\n| call | on |\n|---|---|\n| `a`, `b_c` | done | `d` |\n\n## More\n";
    assert_eq!(documented(page).into_iter().collect::<Vec<_>>(), ["a", "b_c"]);
}
