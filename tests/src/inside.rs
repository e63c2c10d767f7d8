//! The files of a host that runs, as its own processes see them, without a process on the host.
//!
//! Symbolic links lead to where they lead on the host: each path is resolved below the root of its
//! PID 1 (openat2(2), `RESOLVE_IN_ROOT`).

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{Mode, mkdirat};

/// A file on the way is followed at most so often, as the kernel does (path_resolution(7)).
const LINKS: u32 = 40;

/// The root of a host, from outside.
#[derive(Debug)]
pub struct Inside(File);

impl Inside {
    /// The root that a process sees.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(process: u32) -> io::Result<Self> {
        File::open(format!("/proc/{process}/root")).map(Self)
    }

    fn open(&self, path: &str, flags: OFlag) -> io::Result<File> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(match flags.contains(OFlag::O_CREAT) {
                true => Mode::from_bits_truncate(0o644),
                false => Mode::empty(),
            })
            .resolve(ResolveFlag::RESOLVE_IN_ROOT);
        Ok(openat2(&self.0, path, how)?.into())
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path, OFlag::O_RDONLY)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes a file as root, and makes the folders on the way to it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
        let opened = self.open(path, flags).or_else(|error| {
            let parent = Path::new(path).parent().and_then(Path::to_str);
            match parent.filter(|_| error.kind() == io::ErrorKind::NotFound) {
                Some(parent) => {
                    self.make_folder(parent)?;
                    self.open(path, flags)
                }
                None => Err(error),
            }
        });
        opened?.write_all(bytes)
    }

    fn make_folder(&self, path: &str) -> io::Result<()> {
        if self.exists(path) {
            return Ok(());
        }
        let whole = Path::new(path);
        let (Some(parent), Some(name)) = (whole.parent().and_then(Path::to_str), whole.file_name())
        else {
            return Err(io::ErrorKind::NotFound.into());
        };
        self.make_folder(parent)?;
        let parent = self.open(parent, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        Ok(mkdirat(&parent, name, Mode::from_bits_truncate(0o755))?)
    }

    /// Whether something is there.
    pub fn exists(&self, path: &str) -> bool {
        self.open(path, OFlag::O_PATH).is_ok()
    }

    /// The names in a folder.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let opened = self.open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let listed = fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()))?;
        listed
            .map(|found| Ok(found?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    /// Where a path leads that is a link to a link and so on.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn resolve(&self, path: &str) -> io::Result<String> {
        let mut path = PathBuf::from(path);
        for _ in 0..LINKS {
            let name = path.to_string_lossy().into_owned();
            let opened = self.open(&name, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
            if !opened.metadata()?.is_symlink() {
                return Ok(name);
            }
            // Of the link itself (readlinkat(2), with an empty path).
            let target = readlinkat(&opened, "")?;
            path = path.parent().unwrap_or(Path::new("/")).join(target);
        }
        Err(io::Error::other("too many links"))
    }
}
