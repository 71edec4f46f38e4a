//! Files as the commands write them: whole or not at all, and never over something that is there.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Who may read a file that we create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Mode 0600, from the first byte on: keys.
    Owner,
    /// Mode 0644: configuration and policy.
    Everyone,
}

/// What happens to a file that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The write fails with [`io::ErrorKind::AlreadyExists`] and the file keeps its bytes.
    Keep,
    /// The new file takes its place in one step.
    Replace,
}

/// Writes `text` to `path`.
///
/// The bytes go to a new file beside it first, so that a full disk leaves either the old content or none.
///
/// # Errors
/// Those of the operating system; [`io::ErrorKind::AlreadyExists`] under [`Existing::Keep`].
pub fn write(path: &Path, text: &str, access: Access, existing: Existing) -> io::Result<()> {
    let draft = beside(path)?;
    let written = fill(&draft, text, access).and_then(|()| match existing {
        // A hard link fails where the name is taken: no window between a look and the write.
        Existing::Keep => std::fs::hard_link(&draft, path),
        Existing::Replace => std::fs::rename(&draft, path),
    });
    // After a rename the draft is gone already, which is what this asks for.
    std::fs::remove_file(&draft).or_else(absent_is_fine)?;
    written
}

/// Creates `path` and its parents with mode 0755 where they are missing.
///
/// # Errors
/// Those of the operating system.
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Makes sure that `path` is a folder of this user in which nobody else can put files.
///
/// # Errors
/// Those of the operating system; `PermissionDenied` where the folder is somebody else's.
pub fn create_own_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    let found = std::fs::symlink_metadata(path)?;
    let ours = found.is_dir() && found.uid() == rustix::process::getuid().as_raw();
    if ours && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may write there"))
}

fn fill(draft: &Path, text: &str, access: Access) -> io::Result<()> {
    let mode = match access {
        Access::Owner => 0o600,
        Access::Everyone => 0o644,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
    if access == Access::Owner {
        // An odd umask may only take bits away; this says the mode outright.
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this names a folder, not a file"))?;
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    draft.push(format!(".{}.new", std::process::id()));
    Ok(path.with_file_name(draft))
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
