//! Creating memory to share, and judging memory that a peer sent.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, MemfdFlags, SealFlags};

/// Creates `len` bytes of zeroed memory that can neither shrink nor grow any more.
///
/// # Errors
/// What `memfd_create`, `ftruncate` and `F_ADD_SEALS` answer.
pub fn create_sealed(name: &str, len: u64) -> rustix::io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, len)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// Why memory that a peer sent is not mapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// The descriptor is no memory: a socket, a device, a directory …
    #[error("the descriptor is not shared memory")]
    NotMemory,
    /// It is a file of a filesystem that may block or fail on access.
    #[error("the memory is a file of another filesystem than tmpfs or hugetlbfs")]
    ForeignFilesystem,
    /// The file is shorter than announced.
    #[error("the memory has {actual} bytes, {announced} were announced")]
    TooShort {
        /// Size of the file, in bytes.
        actual: u64,
        /// Size that the peer announced, in bytes.
        announced: u64,
    },
    /// The peer could take pages away.
    #[error("the memory is not sealed against shrinking (F_SEAL_SHRINK)")]
    NotSealed,
    /// A system call failed.
    #[error("{what}: {errno}")]
    System {
        /// What was asked.
        what: &'static str,
        /// The kernel's answer.
        errno: rustix::io::Errno,
    },
}

/// Whether the peer can shrink the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// The memory must be sealed against shrinking.
    Required,
    /// It need not be: whoever maps it relies on the peer, and on the [`crate::fault`] handler.
    Optional,
}

/// Judges memory of `announced` bytes that a peer sent: it is a regular file of tmpfs or hugetlbfs
/// (so a page fault cannot hang on a filesystem of the peer's), as long as announced, and sealed if
/// asked for.
///
/// # Errors
/// [`Unfit`] with the first objection.
pub fn judge(fd: BorrowedFd<'_>, announced: u64, sealing: Sealing) -> Result<(), Unfit> {
    let stat = rustix::fs::fstat(fd).map_err(system("fstat of the memory"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Unfit::NotMemory);
    }
    let filesystem = rustix::fs::fstatfs(fd).map_err(system("fstatfs of the memory"))?;
    if ![TMPFS_MAGIC, HUGETLBFS_MAGIC].contains(&filesystem.f_type) {
        return Err(Unfit::ForeignFilesystem);
    }
    let actual = u64::try_from(stat.st_size).unwrap_or(0);
    if actual < announced {
        return Err(Unfit::TooShort { actual, announced });
    }
    if sealing == Sealing::Required && !is_sealed(fd) {
        return Err(Unfit::NotSealed);
    }
    Ok(())
}

/// The size of the pages that a file of tmpfs or hugetlbfs is made of, in bytes: only multiples of it can
/// be mapped over and unmapped.
///
/// # Errors
/// [`Unfit::System`].
pub fn page_size(fd: BorrowedFd<'_>) -> Result<u64, Unfit> {
    let filesystem = rustix::fs::fstatfs(fd).map_err(system("fstatfs of the memory"))?;
    Ok(u64::try_from(filesystem.f_bsize).unwrap_or(0).max(1))
}

/// Whether the memory can never shrink. Files that know no seals count as unsealed.
pub fn is_sealed(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fcntl_get_seals(fd.as_fd()).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
}

fn system(what: &'static str) -> impl Fn(rustix::io::Errno) -> Unfit {
    move |errno| Unfit::System { what, errno }
}

/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// `HUGETLBFS_MAGIC` of linux/magic.h.
const HUGETLBFS_MAGIC: i64 = 0x9584_58f6;

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn sealed_memory_passes_and_cannot_shrink() {
        let fd = create_sealed("test", 8192).expect("memfd");
        judge(fd.as_fd(), 8192, Sealing::Required).expect("fit");
        assert!(rustix::fs::ftruncate(&fd, 4096).is_err());
    }

    #[test]
    fn memory_shorter_than_announced_is_refused() {
        let fd = create_sealed("test", 4096).expect("memfd");
        assert!(matches!(
            judge(fd.as_fd(), 4097, Sealing::Required),
            Err(Unfit::TooShort { actual: 4096, announced: 4097 })
        ));
    }

    #[test]
    fn unsealed_memory_is_refused_unless_it_may_be() {
        let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).expect("memfd");
        rustix::fs::ftruncate(&fd, 4096).expect("truncate");
        assert!(matches!(judge(fd.as_fd(), 4096, Sealing::Required), Err(Unfit::NotSealed)));
        judge(fd.as_fd(), 4096, Sealing::Optional).expect("fit");
    }

    #[test]
    fn what_is_not_memory_is_refused() {
        let (reader, _writer) = rustix::pipe::pipe().expect("pipe");
        assert!(matches!(judge(reader.as_fd(), 1, Sealing::Optional), Err(Unfit::NotMemory)));
        let proc = std::fs::File::open("/proc/self/status").expect("procfs");
        assert!(matches!(judge(proc.as_fd(), 0, Sealing::Optional), Err(Unfit::ForeignFilesystem)));
    }
}
