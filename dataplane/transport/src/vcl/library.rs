//! Which libvppcom the process is to load, by the names of files: nothing is loaded here.

use std::path::{Path, PathBuf};

use vcl_sys::Release;
use vcl_sys::search::{candidates, folders};

/// No libvppcom goes with VPP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLibrary {
    /// The named one is not there.
    #[error("there is no {}", .0.display())]
    Absent(PathBuf),
    /// All that were found are of other releases.
    #[error(
        "there is no libvppcom of VPP's release {release}, only {}",
        .found.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Others {
        /// VPP's release.
        release: Release,
        /// What there is.
        found: Vec<PathBuf>,
    },
    /// None was found.
    #[error("there is no libvppcom of VPP's release {0} in LD_LIBRARY_PATH or the usual folders")]
    None(Release),
}

/// The libvppcom that goes with a VPP of this release: the named one, whose release is checked when it is loaded, or
/// the one that `LD_LIBRARY_PATH` or the usual folders have.
///
/// # Errors
/// [`NoLibrary`].
pub fn find_library(release: Release, named: Option<&Path>) -> Result<PathBuf, NoLibrary> {
    if let Some(named) = named {
        let there = named.is_file();
        return there.then(|| named.to_owned()).ok_or_else(|| NoLibrary::Absent(named.to_owned()));
    }
    choose(release, candidates(&folders()))
}

fn choose(release: Release, found: Vec<(Release, PathBuf)>) -> Result<PathBuf, NoLibrary> {
    let fitting = found.iter().find(|(of, _)| *of == release);
    match fitting {
        Some((_, path)) => Ok(path.clone()),
        None if found.is_empty() => Err(NoLibrary::None(release)),
        None => {
            let found = found.into_iter().map(|(_, path)| path).collect();
            Err(NoLibrary::Others { release, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_of_vpps_release_is_taken_and_its_lack_says_what_there_is() {
        let june = Release::new(26, 6);
        let old = (Release::new(25, 10), PathBuf::from("/usr/lib/libvppcom.so.25.10"));
        let fit = (june, PathBuf::from("/opt/vpp/lib/libvppcom.so.26.06"));
        assert_eq!(choose(june, vec![old.clone(), fit.clone()]), Ok(fit.1));
        let text = choose(june, vec![old]).unwrap_err().to_string();
        assert!(text.contains("26.06") && text.contains("/usr/lib/libvppcom.so.25.10"), "{text}");
        assert!(choose(june, Vec::new()).unwrap_err().to_string().contains("26.06"));
        let absent = find_library(june, Some(Path::new("/nowhere/libvppcom.so")));
        assert_eq!(absent.unwrap_err().to_string(), "there is no /nowhere/libvppcom.so");
    }
}
