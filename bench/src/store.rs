//! Results on disk: `result.json` in a folder, replaced whole, taken up again after an interruption.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::result::{Results, SCHEMA};

/// The file's name in its folder.
const FILE: &str = "result.json";

/// Reads a file, or the file in a folder.
///
/// # Errors
/// When it cannot be read, is no result, or of a version that is not known.
pub(crate) fn read(path: &Path) -> Result<Results> {
    let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}: `run --out DIR` makes one", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Results> {
    let results: Results = serde_json::from_str(text).context("not a result of dockervpp-bench")?;
    ensure!(
        (1..=SCHEMA).contains(&results.schema),
        "its version is {}, this program knows 1 to {SCHEMA}",
        results.schema
    );
    Ok(results)
}

/// A folder that a session writes to.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// A folder, made if need be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// What an earlier session with the same method on the same machine and commit left here.
    ///
    /// # Errors
    /// When there is a result that this session cannot go on with.
    pub(crate) fn resume(&self, fresh: &Results) -> Result<Option<Results>> {
        if !self.folder.join(FILE).exists() {
            return Ok(None);
        }
        let found = read(&self.folder)?;
        let other = |what: &str, before: String, now: String| {
            format!(
                "{} holds a result of another session ({what} was {before}, now {now}): \
                 give another --out, or move it away",
                self.folder.display()
            )
        };
        ensure!(
            found.method == fresh.method,
            other("the method", format!("{:?}", found.method), format!("{:?}", fresh.method))
        );
        let essence = |it: &Results| {
            let machine = &it.machine;
            format!(
                "{:?} {} {:?} {:?}",
                machine.cpu, machine.kernel, machine.cores, machine.versions
            )
        };
        ensure!(
            essence(&found) == essence(fresh),
            other("the machine", essence(&found), essence(fresh))
        );
        Ok(Some(found))
    }

    /// Replaces the result: a reader sees the former or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self, results: &Results) -> Result<()> {
        self.write(FILE, &(serde_json::to_string_pretty(results)? + "\n"))
    }

    /// Writes a file of the folder, or of one in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        let folder = path.parent().context("a file is in a folder")?;
        let put = || -> Result<()> {
            fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            // Whoever may read the folder may read what is in it.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            file.as_file().set_permissions(mode)?;
            file.persist(&path)?;
            Ok(())
        };
        put().with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn what_was_saved_is_taken_up_by_the_same_session_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a/b")).unwrap();
        let results = fixture::results();
        assert!(store.resume(&results).unwrap().is_none());
        store.save(&results).unwrap();
        let found = store.resume(&results).unwrap().unwrap();
        assert_eq!(serde_json::to_value(&found).unwrap(), serde_json::to_value(&results).unwrap());
        let mut other = results.clone();
        other.method.runs += 1;
        assert!(store.resume(&other).unwrap_err().to_string().contains("another --out"));
        let mut other = results;
        other.machine.kernel.push('x');
        assert!(store.resume(&other).unwrap_err().to_string().contains("the machine was"));
    }

    #[test]
    fn results_of_a_later_version_are_refused() {
        let mut results = fixture::results();
        results.schema = SCHEMA + 1;
        let text = serde_json::to_string(&results).unwrap();
        assert!(parse(&text).unwrap_err().to_string().contains("knows 1 to"));
        assert!(parse("{}").is_err());
    }
}
