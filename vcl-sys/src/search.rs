//! Where libvppcom is looked for, and which one is taken.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::Release;

/// Folders that packages and VPP's own `make install` put libraries into, in no order: the newest
/// release that any of them has wins.
const FOLDERS: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib/x86_64-linux-gnu",
    "/usr/local/lib/aarch64-linux-gnu",
    "/usr/local/lib64",
    "/usr/local/lib",
    "/opt/vpp/lib/x86_64-linux-gnu",
    "/opt/vpp/lib/aarch64-linux-gnu",
    "/opt/vpp/lib",
];

/// The folders that are searched: those of `LD_LIBRARY_PATH`, and the usual ones.
pub fn folders() -> Vec<PathBuf> {
    let named = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let named = env::split_paths(&named).filter(|path| path.is_absolute());
    let mut all: Vec<_> = named.chain(FOLDERS.iter().map(PathBuf::from)).collect();
    let mut seen = std::collections::HashSet::new();
    all.retain(|path| seen.insert(path.clone()));
    all
}

/// Every libvppcom in `folders` whose name tells its release, newest first.
pub fn candidates(folders: &[PathBuf]) -> Vec<(Release, PathBuf)> {
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    order(paths.filter(|path| path.is_file()))
}

/// Those of `paths` whose names tell a release, newest first.
fn order(paths: impl Iterator<Item = PathBuf>) -> Vec<(Release, PathBuf)> {
    let mut found: Vec<_> =
        paths.filter_map(|path| Some((Release::of_file_name(name(&path)?)?, path))).collect();
    // Stable: of equals, the one of the folder that was named first.
    found.sort_by_key(|(release, _)| std::cmp::Reverse(*release));
    found
}

/// The release of the library at `path`: by its name, by the name of what it links to, or by its
/// contents.
pub(crate) fn release_of(path: &Path) -> Option<Release> {
    let of_name = |path: &Path| Release::of_file_name(name(path)?);
    of_name(path)
        .or_else(|| of_name(&fs::canonicalize(path).ok()?))
        .or_else(|| Release::of_contents(&fs::read(path).ok()?))
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_comes_first_and_of_equals_the_first() {
        let paths = ["/a/libvppcom.so", "/a/libvppcom.so.24.10", "/b/libvppcom.so.26.06"];
        let more = ["/c/libvppcom.so.26.06", "/c/libvlib.so.30.02", "/c/libvppcom.so.9.06"];
        let found = order(paths.iter().chain(&more).map(PathBuf::from));
        let found: Vec<_> = found.iter().map(|(_, path)| path.to_str().unwrap()).collect();
        assert_eq!(
            found,
            ["/b/libvppcom.so.26.06", "/c/libvppcom.so.26.06", "/a/libvppcom.so.24.10"]
        );
    }

    #[test]
    fn a_release_comes_from_a_name_a_link_or_the_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("libvppcom.so.25.02"), "").unwrap();
        std::os::unix::fs::symlink(path("libvppcom.so.25.02"), path("libvppcom.so")).unwrap();
        fs::write(path("vcl"), b"\0libvppcom.so.24.06\0").unwrap();
        fs::write(path("other"), "").unwrap();
        assert_eq!(release_of(&path("libvppcom.so")), Some(Release::new(25, 2)));
        assert_eq!(release_of(&path("vcl")), Some(Release::new(24, 6)));
        assert_eq!(release_of(&path("other")), None);
        assert_eq!(release_of(&path("absent")), None);
        let found = candidates(&[folder.path().to_owned(), path("absent")]);
        assert_eq!(found, [(Release::new(25, 2), path("libvppcom.so.25.02"))]);
    }
}
