//! Unix sockets with a name: bound with their mode, over a stale file but never over a live one, gone when dropped.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::bind::BindError;

/// A listening Unix socket (nonblocking); its file is removed on drop, if it is still the one that was made here.
#[derive(Debug)]
pub struct UnixSocket {
    descriptor: OwnedFd,
    file: Option<File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    device: u64,
    inode: u64,
    abandoned: bool,
}

impl UnixSocket {
    /// Binds `path` (or, where it begins with `@`, an abstract name, which has no file and no mode) and listens.
    ///
    /// Nobody can connect before the file has `mode`: it gets it before the socket listens.
    ///
    /// # Errors
    /// Names `endpoint` and the mend; a file that another process answers on is never touched.
    pub fn bind(endpoint: &str, path: &Path, mode: u32, backlog: i32) -> Result<Self, BindError> {
        let named = |errno| BindError::new(endpoint, errno);
        let descriptor = new_socket().map_err(named)?;
        let address = to_address(path).map_err(named)?;
        match net::bind(&descriptor, &address) {
            Err(Errno::ADDRINUSE) if !is_abstract(path) => {
                remove_stale(endpoint, path, &address)?;
                net::bind(&descriptor, &address).map_err(named)?;
            }
            other => other.map_err(named)?,
        }
        let file = if is_abstract(path) {
            None
        } else {
            Some(File::claim(path, mode).map_err(|e| named(to_errno(&e)))?)
        };
        let socket = Self { descriptor, file };
        net::listen(&socket.descriptor, backlog).map_err(named)?;
        Ok(socket)
    }

    /// Takes over a listening socket that another process bound, and with it the duty to remove its file.
    ///
    /// # Errors
    /// When it is no Unix socket with a name, or does not stand at that name any more.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        let address = SocketAddrUnix::try_from(net::getsockname(&descriptor)?)?;
        let path = address.path_bytes().filter(|_| net::sockopt::socket_acceptconn(&descriptor) == Ok(true));
        let path = path.ok_or(Errno::INVAL)?;
        let file = File::find(Path::new(OsStr::from_bytes(path)))?;
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Ok(Self { descriptor, file: Some(file) })
    }

    /// Leaves the file where it is: whoever has a duplicate of the descriptor goes on listening.
    pub fn hand_over(mut self) {
        if let Some(file) = &mut self.file {
            file.abandoned = true;
        }
    }

    /// Whether its file still stands where it was made; an abstract name always does.
    pub fn is_in_place(&self) -> bool {
        self.file.as_ref().is_none_or(File::is_in_place)
    }

    /// Where its file was made; nothing for an abstract name.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// A second descriptor of the same socket, for a runtime that wants to own one.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.descriptor.try_clone()
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl File {
    fn claim(path: &Path, mode: u32) -> io::Result<Self> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        Self::find(path)
    }

    fn find(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.into(), device: metadata.dev(), inode: metadata.ino(), abandoned: false })
    }

    fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if !self.abandoned && self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects to the socket at `path`, blocking.
///
/// # Errors
/// `NotFound` and `ConnectionRefused` both mean that nobody listens.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}

/// The address of a path or `@name`.
pub(super) fn to_address(path: &Path) -> Result<SocketAddrUnix, Errno> {
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name),
        None => SocketAddrUnix::new(path),
    }
}

/// A nonblocking stream socket.
pub(super) fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().first() == Some(&b'@')
}

/// Removes a socket file that nobody answers on; anything else is the operator's to decide.
fn remove_stale(endpoint: &str, path: &Path, address: &SocketAddrUnix) -> Result<(), BindError> {
    let taken = |reason, mend| Err(BindError::because(endpoint, Errno::ADDRINUSE, reason, mend));
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return taken(
            "a file that is not a socket stands there",
            "move that file away, or choose another path",
        );
    }
    let probe = new_socket().map_err(|errno| BindError::new(endpoint, errno))?;
    match net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => {
            fs::remove_file(path).map_err(|error| BindError::new(endpoint, to_errno(&error)))
        }
        Err(Errno::ACCESS) => Err(BindError::new(endpoint, Errno::ACCESS)),
        // Connected, or its backlog is full: somebody is there.
        _ => taken(
            "another process answers on this socket",
            "stop that process (`ss -lxp` shows it), or choose another path",
        ),
    }
}

fn to_errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    fn bind(path: &Path) -> Result<UnixSocket, BindError> {
        UnixSocket::bind("ipc:///test", path, 0o600, 4)
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_is_an_error() {
        let scratch = Scratch::new();
        let path = scratch.file("socket");
        // Dropping the standard listener leaves its file behind, as a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = bind(&path).unwrap();
        let error = bind(&path).unwrap_err().to_string();
        assert!(error.contains("another process answers"), "{error}");
        connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_plain_file_is_never_removed() {
        let scratch = Scratch::new();
        let path = scratch.file("notes");
        fs::write(&path, "precious").unwrap();
        let error = bind(&path).unwrap_err().to_string();
        assert!(error.contains("not a socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn the_file_has_its_mode_and_a_successor_is_left_alone() {
        let scratch = Scratch::new();
        let path = scratch.file("socket");
        let socket = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
        let successor = bind(&path).unwrap();
        drop(socket);
        assert!(path.exists(), "the successor's file stays");
        drop(successor);
        assert!(!path.exists());
    }

    #[test]
    fn an_adopted_socket_removes_the_file_that_its_maker_left_to_it() {
        let scratch = Scratch::new();
        let path = scratch.file("socket");
        let maker = bind(&path).unwrap();
        let adopted = UnixSocket::adopt(maker.duplicate().unwrap()).unwrap();
        assert_eq!(adopted.path(), Some(path.as_path()));
        maker.hand_over();
        assert!(adopted.is_in_place());
        connect(&path).unwrap();
        drop(adopted);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_listening_socket_with_a_name_is_adopted() {
        let scratch = Scratch::new();
        let (pair, _other) = UnixStream::pair().unwrap();
        assert!(UnixSocket::adopt(pair.into()).is_err());
        let file = fs::File::create(scratch.file("plain")).unwrap();
        assert!(UnixSocket::adopt(file.into()).is_err());
        let path = scratch.file("socket");
        let socket = bind(&path).unwrap();
        let duplicate = socket.duplicate().unwrap();
        drop(socket);
        assert_eq!(UnixSocket::adopt(duplicate).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_missing_directory_and_a_long_path_are_explained() {
        let scratch = Scratch::new();
        let error = bind(&scratch.file("none/socket")).unwrap_err().to_string();
        assert!(error.contains("create the directory"), "{error}");
        let error = bind(&scratch.file(&"x".repeat(200))).unwrap_err().to_string();
        assert!(error.contains("shorter path"), "{error}");
    }
}
