//! A commit in a folder of its own, and its `hot-paths`, built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use kit::process::run;

/// A work tree; dropping it removes it.
#[derive(Debug)]
pub(super) struct Checkout {
    repository: PathBuf,
    folder: PathBuf,
    target: PathBuf,
    commit: String,
}

impl Checkout {
    /// Of `revision`; why there is none, if so.
    ///
    /// # Errors
    /// When git does not make the work tree.
    pub(super) fn of(
        repository: &Path,
        target: &Path,
        revision: &str,
    ) -> Result<Result<Self, String>> {
        let name = format!("{revision}^{{commit}}");
        let mut command = Command::new("git");
        command.args(["rev-parse", "--verify", "--quiet", &name]).current_dir(repository);
        let Ok(commit) = run(&mut command) else {
            return Ok(Err(format!("there is no commit `{revision}` here")));
        };
        let folder = target.join("trees").join(&commit);
        let (repository, target) = (repository.to_owned(), target.to_owned());
        let checkout = Self { repository, folder, target, commit };
        // One that was left behind by a session that was killed.
        checkout.remove();
        let place = checkout.folder.display().to_string();
        checkout.git(&["worktree", "add", "--detach", "--force", &place, &checkout.commit])?;
        Ok(Ok(checkout))
    }

    pub(super) fn commit(&self) -> &str {
        &self.commit
    }

    /// Builds `hot-paths` of this commit and returns a copy that later builds leave alone; `None` when the
    /// commit has none.
    ///
    /// # Errors
    /// When it does not build.
    pub(super) fn build(&self) -> Result<Option<PathBuf>> {
        if !self.folder.join("bench/hot-paths/Cargo.toml").is_file() {
            return Ok(None);
        }
        eprintln!("building hot-paths of {}", self.commit);
        let mut command = Command::new(super::cargo());
        command.args(["build", "--locked", "--release", "--quiet", "-p", "hot-paths"]);
        // What is built from the registry serves both commits.
        command.arg("--target-dir").arg(&self.target).current_dir(&self.folder);
        run(&mut command)?;
        let kept = self.target.join(format!("hot-paths-{}", self.commit));
        fs::copy(self.target.join("release/hot-paths"), &kept)
            .with_context(|| format!("cannot keep {}", kept.display()))?;
        Ok(Some(kept))
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        run(Command::new("git").args(arguments).current_dir(&self.repository))
    }

    fn remove(&self) {
        if self.folder.exists() {
            // What cannot be removed, git says when it makes the next one.
            let place = self.folder.display().to_string();
            let _ = self.git(&["worktree", "remove", "--force", &place]);
        }
        let _ = self.git(&["worktree", "prune"]);
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.remove();
    }
}
