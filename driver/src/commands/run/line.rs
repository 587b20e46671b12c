//! The command line of `docker run`, read as far as it matters here. Pure.
//!
//! Docker's flags change with its releases. Those without a value are few and known; every other flag
//! takes one, so that a flag that is new here is passed over correctly as long as it takes a value.

use std::ffi::OsString;

/// Flags of `docker run` that take no value (Docker 20.10 to 29).
const SWITCHES: &[&str] = &[
    "detach",
    "disable-content-trust",
    "help",
    "init",
    "interactive",
    "no-healthcheck",
    "oom-kill-disable",
    "privileged",
    "publish-all",
    "quiet",
    "read-only",
    "rm",
    "sig-proxy",
    "tty",
    "use-api-socket",
];

/// One-letter flags that take no value.
const SHORT_SWITCHES: &str = "Pdiqt";

/// What a command line of `docker run` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// Values of `--network`, in order, by the names of the networks.
    pub networks: Vec<String>,
    /// Values of `-e` that are about this variable, in order.
    pub preload: Vec<Setting>,
    /// Values of `--env-file`, in order.
    pub env_files: Vec<String>,
    /// The image; none when there are only flags.
    pub image: Option<String>,
    /// Where more flags can be put in: behind all flags, in front of the image.
    pub end_of_flags: usize,
}

/// What `-e` says of `LD_PRELOAD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `-e LD_PRELOAD=VALUE`
    To(String),
    /// `-e LD_PRELOAD`: as in the environment of the command.
    Inherited,
}

impl Line {
    /// Reads the arguments behind `docker run`.
    pub fn read(arguments: &[OsString]) -> Self {
        let mut line = Self::default();
        let text = |at: usize| arguments.get(at).map(|it| it.to_string_lossy().into_owned());
        let mut at = 0;
        while let Some(argument) = text(at) {
            if argument == "--" {
                line.end_of_flags = at;
                line.image = text(at + 1);
                return line;
            }
            let Some((name, value)) = flag(&argument) else { break };
            let value = match value {
                Some(value) => value,
                None if takes_value(&name) => {
                    at += 1;
                    text(at).unwrap_or_default()
                }
                None => String::new(),
            };
            line.note(&name, value);
            at += 1;
        }
        line.image = text(at);
        line.end_of_flags = at.min(arguments.len());
        line
    }

    fn note(&mut self, name: &str, value: String) {
        match name {
            "network" | "net" => self.networks.push(network(&value)),
            "env-file" => self.env_files.push(value),
            "e" | "env" => match value.split_once('=') {
                Some(("LD_PRELOAD", value)) => self.preload.push(Setting::To(value.to_owned())),
                None if value == "LD_PRELOAD" => self.preload.push(Setting::Inherited),
                _ => {}
            },
            _ => {}
        }
    }
}

/// Splits `--name`, `--name=value`, `-abc` and `-evalue`; nothing else is a flag.
fn flag(argument: &str) -> Option<(String, Option<String>)> {
    if let Some(long) = argument.strip_prefix("--") {
        return Some(match long.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (long.to_owned(), None),
        });
    }
    let letters = argument.strip_prefix('-').filter(|letters| !letters.is_empty())?;
    let Some(at) = letters.find(|it| !SHORT_SWITCHES.contains(it)) else {
        return Some((letters.chars().next_back()?.to_string(), None));
    };
    let (name, value) = letters[at..].split_at(letters[at..].chars().next()?.len_utf8());
    let value = value.strip_prefix('=').unwrap_or(value);
    Some((name.to_owned(), (!value.is_empty()).then(|| value.to_owned())))
}

fn takes_value(name: &str) -> bool {
    let switch = SWITCHES.contains(&name) || (name.len() == 1 && SHORT_SWITCHES.contains(name));
    !switch
}

/// The name in `NAME` or `name=NAME,driver-opt=…`.
fn network(value: &str) -> String {
    let named = value.split(',').find_map(|part| part.strip_prefix("name="));
    named.unwrap_or(value).to_owned()
}

/// `LD_PRELOAD` in the lines of an environment file; the last one counts.
pub fn preload_in_file(text: &str) -> Option<Setting> {
    let mut settings = text.lines().filter_map(|line| match line.trim_start().split_once('=') {
        Some(("LD_PRELOAD", value)) => Some(Setting::To(value.to_owned())),
        None if line.trim() == "LD_PRELOAD" => Some(Setting::Inherited),
        _ => None,
    });
    settings.next_back()
}

/// The value with the library in it: behind what is there, so that a library of the user's that takes
/// over the same calls still comes first.
pub fn with_library(preload: Option<&str>, library: &str) -> String {
    let others = preload.unwrap_or_default();
    let listed = others.split([':', ' ']).any(|it| it == library);
    match (others.is_empty(), listed) {
        (true, _) => library.to_owned(),
        (false, true) => others.to_owned(),
        (false, false) => format!("{others}:{library}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Line {
        Line::read(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_image_ends_the_flags() {
        let line =
            read("-it --rm --network fast -p 80:80 alpine sh --network slow -e LD_PRELOAD=x");
        assert_eq!(line.networks, ["fast"]);
        assert_eq!(line.image.as_deref(), Some("alpine"));
        assert_eq!(line.end_of_flags, 6);
        assert_eq!(line.preload, []);
    }

    #[test]
    fn flags_are_written_in_many_ways() {
        for line in [
            "--network=fast img",
            "--net fast img",
            "-d --network name=fast,driver-opt=dockervpp.attach=auto img",
            "-dp 80:80 --network fast img",
            "-v/x:/y --name n --network fast -- img",
            "--rm=true --network fast img",
        ] {
            let line = read(line);
            assert_eq!(line.networks, ["fast"], "{line:?}");
            assert_eq!(line.image.as_deref(), Some("img"), "{line:?}");
        }
        assert_eq!(read("-d --rm").image, None);
        assert_eq!(read("--network").networks, [""]);
    }

    #[test]
    fn preloaded_libraries_are_seen() {
        let to = |value: &str| Setting::To(value.to_owned());
        let line =
            read("-e LD_PRELOAD=a.so -eLD_PRELOAD=b.so --env LD_PRELOAD -e X=1 --env-file f i");
        assert_eq!(line.preload, [to("a.so"), to("b.so"), Setting::Inherited]);
        assert_eq!(line.env_files, ["f"]);
        assert_eq!(preload_in_file("A=1\nLD_PRELOAD=c.so\n"), Some(to("c.so")));
        assert_eq!(preload_in_file("LD_PRELOAD\n"), Some(Setting::Inherited));
        assert_eq!(preload_in_file("# LD_PRELOAD=c.so\n"), None);
    }

    #[test]
    fn libraries_of_the_user_come_first_and_stay() {
        assert_eq!(with_library(None, "/s.so"), "/s.so");
        assert_eq!(with_library(Some(""), "/s.so"), "/s.so");
        assert_eq!(with_library(Some("/a.so"), "/s.so"), "/a.so:/s.so");
        assert_eq!(with_library(Some("/a.so:/s.so"), "/s.so"), "/a.so:/s.so");
    }

    proptest! {
        #[test]
        fn flags_can_be_put_in_at_the_end_of_any_line(words in prop::collection::vec("[-=a-z]{0,6}", 0..8)) {
            let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
            let line = Line::read(&arguments);
            prop_assert!(line.end_of_flags <= arguments.len());
            let mut more = arguments.clone();
            more.insert(line.end_of_flags, "--network=ours".into());
            if line.image.is_some() {
                let again = Line::read(&more);
                prop_assert_eq!(again.networks.last().map(String::as_str), Some("ours"));
                prop_assert_eq!(again.image, line.image);
            }
        }
    }
}
