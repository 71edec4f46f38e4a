//! Files as the node reads them: bounded, and with errors that say what to do.

#![expect(clippy::disallowed_methods, reason = "the machine is where files are opened")]

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Why a file could not be read or written. It never says what was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileError {
    /// There is none.
    Missing,
    /// It is a folder, a pipe or a device.
    NotAFile,
    /// The operating system does not let us.
    Denied,
    /// It has more than this many bytes.
    TooLong(u64),
    /// It is not UTF-8.
    NotText,
    /// Others than its owner may read or write it: its permission bits.
    TooOpen(u32),
    /// Something else, as the operating system calls it.
    Other(io::ErrorKind),
}

impl FileError {
    /// What is wrong with the file at `path`.
    pub fn problem(&self, path: &Path) -> String {
        format!("{} {self}", path.display())
    }

    /// What to do about it.
    pub fn mend(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Missing => "write the file, or correct the path".to_owned(),
            Self::NotAFile => "name a plain file".to_owned(),
            Self::Denied => format!("let this user read it, or run as its owner: ls -l {path}"),
            Self::TooLong(most) => {
                format!("at most {most} bytes are read; is this the right file?")
            }
            Self::NotText => "it must be UTF-8 text; is this the right file?".to_owned(),
            Self::TooOpen(_) => format!("chmod 600 {path}"),
            Self::Other(_) => "check the path and the disk".to_owned(),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist"),
            Self::NotAFile => f.write_str("is not a plain file"),
            Self::Denied => f.write_str("may not be opened: permission denied"),
            Self::TooLong(_) => f.write_str("is too long"),
            Self::NotText => f.write_str("is not text"),
            Self::TooOpen(mode) => write!(f, "can be read or written by others (mode {mode:04o})"),
            Self::Other(kind) => write!(f, "cannot be opened: {kind}"),
        }
    }
}

impl std::error::Error for FileError {}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::IsADirectory => Self::NotAFile,
            io::ErrorKind::InvalidData => Self::NotText,
            kind => Self::Other(kind),
        }
    }
}

/// Reads a text file of at most `most` bytes.
///
/// # Errors
/// See [`FileError`].
pub fn read_text(path: &Path, most: u64) -> Result<String, FileError> {
    read(open(path)?, most)
}

/// Reads a file that holds a secret; it must belong to its owner alone.
///
/// # Errors
/// See [`FileError`]; [`FileError::TooOpen`] where the group or others have any permission.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let file = open(path)?;
    // Asked of the open file, so that it cannot be exchanged in between.
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(FileError::TooOpen(mode));
    }
    read(file, MOST_SECRET).map(Zeroizing::new)
}

/// Opens a file or a pipe that is read as it comes: its reader bounds what is kept.
///
/// # Errors
/// See [`FileError`].
pub fn stream(path: &Path) -> Result<File, FileError> {
    if std::fs::metadata(path)?.is_dir() {
        return Err(FileError::NotAFile);
    }
    Ok(File::open(path)?)
}

fn open(path: &Path) -> Result<File, FileError> {
    // Asked before it is opened: to open a device may already do something.
    if !std::fs::metadata(path)?.is_file() {
        return Err(FileError::NotAFile);
    }
    open_plain(path)
}

/// Opens what is there by now. A pipe that has come into the file's place is not waited for, nor is a file of the
/// kernel's that has nothing to say yet.
fn open_plain(path: &Path) -> Result<File, FileError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(FileError::NotAFile);
    }
    Ok(file)
}

fn read(file: File, most: u64) -> Result<String, FileError> {
    // The whole room at once: a buffer that grew would leave copies of a secret behind.
    let room = usize::try_from(file.metadata()?.len().min(most) + 1).unwrap_or(0);
    let mut text = String::with_capacity(room);
    file.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(FileError::TooLong(most));
    }
    Ok(text)
}

/// The permissions of the group and of others.
const OTHERS: u32 = 0o077;

/// A key has 44 characters and a line end; a little more lets a file have a remark.
const MOST_SECRET: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::super::files_write::{Access, Existing, write};
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("lockgate-files-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_secret_is_read_back_only_while_it_belongs_to_its_owner_alone() {
        let folder = folder("secret");
        let path = folder.join("key");
        write(&path, "secret\n", Access::Owner, Existing::Keep).unwrap();
        assert_eq!(read_secret(&path).unwrap().as_str(), "secret\n");
        for mode in [0o640, 0o604, 0o620, 0o644] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = read_secret(&path).unwrap_err();
            assert_eq!(error, FileError::TooOpen(mode), "{mode:o}");
            assert!(error.mend(&path).starts_with("chmod 600 "));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_no_short_text_file_is_refused_by_name() {
        let folder = folder("text");
        write(&folder.join("long"), "12345", Access::Everyone, Existing::Keep).unwrap();
        std::fs::write(folder.join("bytes"), [0xff, 0xfe]).unwrap();
        for (name, error) in [
            ("none", FileError::Missing),
            ("long", FileError::TooLong(4)),
            ("bytes", FileError::NotText),
            (".", FileError::NotAFile),
        ] {
            assert_eq!(read_text(&folder.join(name), 4), Err(error), "{name}");
        }
        assert_eq!(read_text(&folder.join("long"), 5).as_deref(), Ok("12345"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_pipe_that_took_the_files_place_is_refused_and_not_waited_for() {
        let folder = folder("pipe");
        let pipe = folder.join("pipe");
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        );
        made.unwrap();
        // Nobody writes: without O_NONBLOCK this would never return.
        assert_eq!(open_plain(&pipe).unwrap_err(), FileError::NotAFile);
        assert_eq!(read_text(&pipe, 4), Err(FileError::NotAFile));
        assert_eq!(open_plain(Path::new("/dev/null")).unwrap_err(), FileError::NotAFile);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
