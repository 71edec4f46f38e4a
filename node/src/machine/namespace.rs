//! Doing something in another network namespace, as `ip netns exec` does.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `work` in the network namespace that `place` is a descriptor of, on a thread that lives for that long: what it
/// opens there stays there, and the caller's own thread never moves.
///
/// # Errors
/// When we may not enter (it needs `CAP_SYS_ADMIN`), or no thread can be started.
///
/// # Panics
/// If `work` does.
pub(crate) fn within<T: Send>(place: impl AsFd, work: impl FnOnce() -> T + Send) -> Result<T, Errno> {
    let place: BorrowedFd<'_> = place.as_fd();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("namespace".into())
            .spawn_scoped(scope, move || {
                move_into_link_name_space(place, Some(LinkNameSpaceType::Network))?;
                Ok(work())
            })
            .map_err(|_| Errno::AGAIN)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
