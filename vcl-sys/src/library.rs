//! Loading a libvppcom.

#![allow(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW};

use crate::error::{LoadError, Mismatch};
use crate::search::{candidates, folders, release_of};
use crate::symbols::Symbols;
use crate::{Attribute, Protocol, Release};

/// A libvppcom that was loaded. It stays in the process for good, because it leaves exit handlers and
/// thread-local data behind; clones are the same library.
#[derive(Debug, Clone)]
pub struct Library(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    release: Release,
    symbols: Symbols,
}

impl Library {
    /// Loads the library at `path`.
    ///
    /// Loading runs the constructors of libvppcom and of the libraries that it needs: the file must be
    /// VPP's own.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let path = path.to_owned();
        if !path.exists() {
            return Err(LoadError::NotFound(vec![path]));
        }
        let Some(release) = release_of(&path) else { return Err(LoadError::NoRelease(path)) };
        if release < Release::OLDEST {
            return Err(LoadError::TooOld { path, release });
        }
        // SAFETY: the file says that it is a libvppcom, whose constructors need nothing from the process;
        // that it is what it says is the caller's choice, as it is for every library on the search path.
        let loaded = unsafe { Loaded::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return Err(LoadError::Refused { path, reason: error.to_string() }),
        };
        // SAFETY: the release was checked, and the library is forgotten below, so that it stays loaded.
        let symbols = unsafe { Symbols::resolve(&loaded) };
        std::mem::forget(loaded);
        match symbols {
            Ok(symbols) => Ok(Self(Arc::new(Inner { path, release, symbols }))),
            Err(symbol) => Err(LoadError::NoSymbol { path, release, symbol }),
        }
    }

    /// Loads the newest one of [`folders`].
    ///
    /// # Errors
    /// [`LoadError`]: of the newest one, when none can be loaded.
    pub fn open_newest() -> Result<Self, LoadError> {
        Self::open_first(candidates(&folders()).into_iter())
    }

    /// Loads the one of [`folders`] that goes with a VPP of this release.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn open_release(vpp: Release) -> Result<Self, LoadError> {
        let all = candidates(&folders()).into_iter();
        Self::open_first(all.filter(|(release, _)| *release == vpp))
    }

    fn open_first(found: impl Iterator<Item = (Release, PathBuf)>) -> Result<Self, LoadError> {
        let mut first = None;
        for (_, path) in found {
            match Self::open(&path) {
                Ok(library) => return Ok(library),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| LoadError::NotFound(folders())))
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Its release.
    pub fn release(&self) -> Release {
        self.0.release
    }

    /// Its functions.
    pub fn symbols(&self) -> &Symbols {
        &self.0.symbols
    }

    /// Whether it has an attribute.
    pub fn has_attribute(&self, attribute: Attribute) -> bool {
        self.release() >= attribute.since()
    }

    /// Whether it has a protocol.
    pub fn has_protocol(&self, protocol: Protocol) -> bool {
        self.release() >= protocol.since()
    }

    /// Checks that it goes with a VPP of this release, as `show_version` of the binary API, or `vppctl show
    /// version`, tell it. To be called before attaching: libvppcom does not check it.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn check(&self, vpp: Release) -> Result<(), Mismatch> {
        let library = self.release();
        if library == vpp {
            Ok(())
        } else {
            Err(Mismatch { path: self.path().to_owned(), library, vpp })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_no_libvppcom_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let refused = |name: &str| Library::open(&at(name)).unwrap_err().to_string();
        assert!(matches!(Library::open(&at("absent")), Err(LoadError::NotFound(_))));
        fs::write(at("libc.so.6"), "").unwrap();
        assert!(matches!(Library::open(&at("libc.so.6")), Err(LoadError::NoRelease(_))));
        fs::write(at("libvppcom.so.20.09"), "").unwrap();
        let text = refused("libvppcom.so.20.09");
        assert!(text.contains("20.09") && text.contains("21.10"), "{text}");
        fs::write(at("libvppcom.so.26.06"), "no ELF file").unwrap();
        assert!(matches!(Library::open(&at("libvppcom.so.26.06")), Err(LoadError::Refused { .. })));
    }

    #[test]
    fn a_library_without_the_functions_is_refused_by_the_name_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libvppcom.so.26.06");
        let math = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"];
        let Some(math) = math.iter().find(|it| Path::new(it).exists()) else { return };
        std::os::unix::fs::symlink(math, &path).unwrap();
        let error = Library::open(&path).unwrap_err();
        assert!(
            matches!(error, LoadError::NoSymbol { symbol: "vppcom_app_create", .. }),
            "{error}"
        );
    }
}
