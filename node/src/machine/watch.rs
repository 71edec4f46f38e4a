//! Tells when a file may have gone: unlinked, renamed, or replaced by another (inotify).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// Watches what happens to a file's name, inside a tokio runtime.
#[derive(Debug)]
pub struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Watches the file at `path`; what happened before is not told, so look at it afterwards.
    ///
    /// # Errors
    /// When there is no such file, or the user has no inotify instances left.
    ///
    /// # Panics
    /// Outside a tokio runtime with IO.
    #[expect(unsafe_code, reason = "tokio takes any descriptor here and trusts that it stays")]
    pub fn new(path: &Path) -> io::Result<Self> {
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // While a socket is bound its inode lives on: the unlink shows as a change of its link count, an attribute.
        let flags = WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        inotify::add_watch(&descriptor, path, flags)?;
        // SAFETY: the descriptor is owned by what watches it, and nobody replaces or closes it before.
        Ok(Self(unsafe { AsyncFd::register(descriptor) }?))
    }

    /// Waits until something has happened that was not told before: look at the file, then wait again.
    ///
    /// # Errors
    /// Only if the watch itself is broken.
    pub async fn changed(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        // First this: what comes between the two is told once more, not lost.
        ready.clear_ready();
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut reader = inotify::Reader::new(self.0.get_ref(), &mut buffer);
        loop {
            match reader.next() {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::scratch::Scratch;
    use super::super::unix::UnixSocket;
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_bound_sockets_unlink_and_rename_are_told() {
        let scratch = Scratch::new();
        type Removal = fn(&Path) -> io::Result<()>;
        let removals: [Removal; 2] =
            [|path| fs::remove_file(path), |path| fs::rename(path, path.with_extension("old"))];
        for remove in removals {
            let path = scratch.file("socket");
            let socket = UnixSocket::bind("test", &path, 0o600, 1).unwrap();
            let watch = Watch::new(&path).unwrap();
            assert!(
                timeout(Duration::from_millis(20), watch.changed()).await.is_err(),
                "nothing has happened"
            );
            remove(&path).unwrap();
            timeout(LONG, watch.changed()).await.unwrap().unwrap();
            assert!(!socket.is_in_place());
        }
    }

    #[tokio::test]
    async fn what_is_not_there_cannot_be_watched() {
        let error = Watch::new(&Scratch::new().file("none")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
