//! Network namespaces of a test's own, with a name or without: what is made there is in nobody's way.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::{Process, run};
use crate::unique;

/// A namespace with a name, as `ip netns` makes them, with its loopback up. Dropping it removes it.
#[derive(Debug)]
pub struct Named(String);

impl Named {
    /// Makes one; `what` says what it is for.
    ///
    /// # Errors
    /// When the host does not make it, for which it wants root.
    pub fn create(what: &str) -> Result<Self> {
        let namespace = Self(unique(what));
        ip(&["netns", "add", &namespace.0])?;
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// What `ip netns` calls it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    /// `ip` in there.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.0], arguments].concat())
    }

    /// A command in there.
    pub fn command(&self, program: impl Display, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, &program.to_string()]).args(arguments);
        command
    }

    /// Starts a program in there.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, program: impl Display, arguments: &[&str]) -> Result<Process> {
        Process::start(format!("{program} in {}", self.0), &mut self.command(&program, arguments))
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let deleted = ip(&["netns", "delete", &self.0]);
        if deleted.is_err() && self.path().exists() {
            eprintln!("left behind: network namespace {}", self.0);
        }
    }
}

/// `ip`, of the host.
///
/// # Errors
/// When it fails, with what it said.
pub fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}

/// A program that is to run in a namespace of `ip netns`, or here: it becomes the program, and nothing is between it
/// and its parent.
pub(crate) fn in_namespace(namespace: Option<&str>, program: &Path) -> Command {
    let Some(namespace) = namespace else { return Command::new(program) };
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg(program);
    command
}

/// Runs `job` in a new network namespace, on a thread of that `name`; the namespace ends with what is in it. A panic of
/// `job` goes on in the caller.
///
/// # Errors
/// When the kernel makes no namespace, for which it wants root.
pub fn in_a_new_one<T: Send>(name: &str, job: impl FnOnce() -> T + Send) -> Result<T> {
    let holder = Holder::start()?;
    thread::scope(|scope| {
        let inside = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(holder.namespace.as_fd(), kind)?;
            Ok(job())
        })?;
        inside.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// A process that is there for its namespace.
struct Holder {
    process: Child,
    namespace: File,
}

impl Holder {
    fn start() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("`unshare` of util-linux does not start")?;
        let namespace = held(&mut process);
        if namespace.is_err() {
            end(&mut process);
        }
        Ok(Self { namespace: namespace?, process })
    }
}

/// The namespace of a process that repeats what it is told, once it is in there.
fn held(process: &mut Child) -> Result<File> {
    let input = process.stdin.as_mut().context("it has an input")?;
    writeln!(input, "there?")?;
    let output = process.stdout.as_mut().context("it has an output")?;
    let mut said = String::new();
    BufReader::new(output).read_line(&mut said)?;
    anyhow::ensure!(said == "there?\n", "`unshare --net` fails: it needs root");
    Ok(File::open(format!("/proc/{}/ns/net", process.id()))?)
}

fn end(process: &mut Child) {
    // Fails when it has ended.
    let _ = process.kill();
    let _ = process.wait();
}

impl Drop for Holder {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::read_link;

    use super::*;
    use crate::need::{Need, offered};

    #[test]
    fn a_job_is_somewhere_else_and_its_caller_is_not() {
        if !offered(&[Need::Root]) {
            return;
        }
        let here = || read_link("/proc/thread-self/ns/net").unwrap();
        let before = here();
        let inside = in_a_new_one("inside", here).unwrap();
        assert_ne!(inside, before);
        assert_eq!(here(), before);
    }
}
