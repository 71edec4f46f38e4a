//! Going to the background as WireGuard implementations do: what was opened is handed to a second process of the same
//! program, and the first ends once the second is at work.
//!
//! ```text
//! lockgate wg wg0                 opens the device and the socket
//!   └─ lockgate wg wg0            WG_PROCESS_FOREGROUND=1 WG_TUN_FD=9 WG_UAPI_FD=10 LOCKGATE_READY_FD=11
//!        setsid, takes over 9 and 10, says "ready" on 11
//! exit code 0
//! ```
//! No process forks with threads in it: the second one is started anew. `WG_TUN_FD` and `WG_UAPI_FD` may also come from
//! somebody else, who then has opened them.

use std::env;
use std::ffi::OsString;
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use rustix::io::{FdFlags, fcntl_setfd};
use thiserror::Error;

/// The descriptor of the TUN device.
const TUN: &str = "WG_TUN_FD";
/// The descriptor of the listening configuration socket.
const UAPI: &str = "WG_UAPI_FD";
/// `1`: stay in the foreground.
const FOREGROUND: &str = "WG_PROCESS_FOREGROUND";
/// The descriptor on which the second process tells the first how it went. Only Lockgate's own.
const READY: &str = "LOCKGATE_READY_FD";
/// What the reference implementation goes by for the output of the second process.
const LOG_LEVEL: &str = "LOG_LEVEL";
/// What the second process says when it is at work; anything else is why it is not.
const AT_WORK: &[u8] = b"ready\n";
/// The longest reason, in bytes.
const REASON: u64 = 4096;

/// Why the program did not go to the background, or cannot take over what it was given.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The second process cannot be started.
    #[error(
        "cannot start in the background: {0}\n  hint: stay in the foreground with -f and let the service manager do it"
    )]
    Start(#[source] io::Error),
    /// It was started and gave up.
    #[error("the process in the background gave up: {0}")]
    GaveUp(String),
    /// A variable of the environment does not name an open descriptor.
    #[error(
        "{name}={value} is no descriptor that was handed to this process: {reason}\n  hint: unset {name}"
    )]
    NoDescriptor {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
        /// What is wrong.
        reason: String,
    },
}

/// Where the log of the second process goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Nowhere.
    Dropped,
    /// Where that of the first goes.
    Kept,
}

impl Output {
    /// Kept where the environment's `LOG_LEVEL` says something else than `silent`, as the reference implementation has it.
    pub fn from_env() -> Self {
        match env::var_os(LOG_LEVEL) {
            Some(level) if !level.is_empty() && level != "silent" => Self::Kept,
            _ => Self::Dropped,
        }
    }

    fn stdio(self) -> Stdio {
        match self {
            Self::Dropped => Stdio::null(),
            Self::Kept => Stdio::inherit(),
        }
    }
}

/// Whether the environment asks for the foreground; the second process is told so too.
pub fn wants_foreground() -> bool {
    env::var_os(FOREGROUND).is_some_and(|value| value == "1")
}

/// Starts this program again, with the same arguments, to go on with `tun` and `uapi`, and waits until it is at work.
///
/// Our own descriptors stay open until they are dropped; the socket's file belongs to the second process from now on
/// (see `UnixSocket::hand_over`). To be called while this process has one thread: another that started a program at
/// the same moment would hand it the descriptors too.
///
/// # Errors
/// When it cannot be started, or gave up: then nothing is left running.
pub fn start(tun: BorrowedFd<'_>, uapi: BorrowedFd<'_>, output: Output) -> Result<(), DaemonError> {
    let program = program().map_err(DaemonError::Start)?;
    start_program(program, env::args_os().skip(1), tun, uapi, output)
}

fn start_program(
    program: PathBuf,
    arguments: impl IntoIterator<Item = OsString>,
    tun: BorrowedFd<'_>,
    uapi: BorrowedFd<'_>,
    output: Output,
) -> Result<(), DaemonError> {
    let (mut told, tell) = io::pipe().map_err(DaemonError::Start)?;
    let mut command = Command::new(program);
    command.args(arguments).env(FOREGROUND, "1");
    command.stdin(Stdio::null()).stdout(output.stdio()).stderr(output.stdio());
    let mut inherited = Vec::new();
    for (name, descriptor) in [(TUN, tun), (UAPI, uapi), (READY, tell.as_fd())] {
        let duplicate = inheritable(descriptor).map_err(DaemonError::Start)?;
        command.env(name, duplicate.as_raw_fd().to_string());
        inherited.push(duplicate);
    }
    let mut child = command.spawn().map_err(DaemonError::Start)?;
    // Ours too must be closed, or its end would never be seen.
    drop((inherited, tell));
    let mut said = Vec::new();
    let read = told.by_ref().take(REASON).read_to_end(&mut said);
    if read.is_ok() && said == AT_WORK {
        return Ok(());
    }
    let _ = child.kill();
    let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    let said = String::from_utf8_lossy(&said);
    let said = said.trim();
    Err(DaemonError::GaveUp(if said.is_empty() { status } else { said.to_owned() }))
}

/// What this process was given by its environment.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The TUN device.
    pub tun: Option<OwnedFd>,
    /// The listening configuration socket; `UnixSocket::adopt` takes it.
    pub uapi: Option<OwnedFd>,
    /// There where this process is the second one.
    pub ready: Option<Ready>,
}

/// Tells the first process how the second one fares. Dropped unused, the first one reports a failure.
#[derive(Debug)]
pub struct Ready(PipeWriter);

impl Inherited {
    /// Takes over what `WG_TUN_FD` and `WG_UAPI_FD` name, and leaves the first process's session where there is one.
    ///
    /// To be called once, at the start, before anything else is opened: a descriptor has one owner.
    ///
    /// # Errors
    /// When a variable does not name an open descriptor.
    pub fn take() -> Result<Self, DaemonError> {
        let [tun, uapi, ready] = [TUN, UAPI, READY].map(|name| take(name, env::var_os(name)));
        let inherited =
            Self { tun: tun?, uapi: uapi?, ready: ready?.map(|pipe| Ready(PipeWriter::from(pipe))) };
        if inherited.ready.is_some() {
            // It fails only for the leader of a process group, which a process that was just started is not.
            let _ = rustix::process::setsid();
        }
        Ok(inherited)
    }
}

impl Ready {
    /// At work: the first process may end. This one leaves the folder that it was started in, so that it keeps no file system
    /// from being unmounted: whatever a relative path names must be open by now.
    pub fn at_work(mut self) {
        if let Err(error) = rustix::process::chdir("/") {
            tracing::debug!(%error, "stays in the folder that it was started in");
        }
        // Where the first process was killed meanwhile, nobody needs to know.
        let _ = self.0.write_all(AT_WORK);
    }

    /// Gave up, and why: the first process says so.
    pub fn gave_up(mut self, reason: &str) {
        let _ = self.0.write_all(reason.as_bytes());
    }
}

/// This program: by its name, so that the process list shows it, or by the kernel's link where that file is gone.
fn program() -> io::Result<PathBuf> {
    let named = env::current_exe()?;
    Ok(if named.exists() { named } else { PathBuf::from("/proc/self/exe") })
}

/// A duplicate that the next program to be started gets too.
fn inheritable(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let duplicate = descriptor.try_clone_to_owned()?;
    fcntl_setfd(&duplicate, FdFlags::empty())?;
    Ok(duplicate)
}

/// The descriptor that `value` names, from now on kept from programs that we start; nothing where there is no value.
fn take(name: &'static str, value: Option<OsString>) -> Result<Option<OwnedFd>, DaemonError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = value.to_string_lossy().into_owned();
    let wrong = |reason: String| DaemonError::NoDescriptor { name, value: value.clone(), reason };
    let plain = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|_| plain).ok_or_else(|| wrong("not a number".into()))?;
    own(number).map(Some).map_err(|error| wrong(error.to_string()))
}

/// Owns a descriptor that was inherited: not one of the three standard ones, open, and not marked to be closed when a
/// program starts, as all those that this process has opened itself are.
#[expect(unsafe_code, reason = "the environment names a descriptor by its number")]
fn own(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::other("that is the standard input or output"));
    }
    if is_closed_on_exec(number)? {
        return Err(io::Error::other("this process has opened it itself"));
    }
    // SAFETY: it is open, was inherited, and whoever started this process named it for us to own; it is marked below, so
    // that no second call owns it.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&owned, FdFlags::CLOEXEC)?;
    Ok(owned)
}

/// The mark of an open descriptor, from the kernel's table: asking the descriptor itself would take it to be open.
fn is_closed_on_exec(number: RawFd) -> io::Result<bool> {
    let table = match std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(io::Error::other("it is not open"));
        }
        table => table?,
    };
    let flags = table.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags
        .map(|flags| flags & OFlags::CLOEXEC.bits() != 0)
        .ok_or_else(|| io::Error::other("its state cannot be read"))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt;
    use std::os::unix::net::UnixListener;
    use std::time::{Duration, Instant};

    use super::super::scratch::Scratch;
    use super::super::unix::{self, UnixSocket};
    use super::*;

    /// Runs a shell script in the second process's place.
    fn start_script(
        scratch: &Scratch,
        script: &str,
        tun: &OwnedFd,
        uapi: &OwnedFd,
    ) -> Result<(), DaemonError> {
        let path = scratch.file("program");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o700).open(&path).unwrap();
        file.write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        drop(file);
        // A test beside this one may have started a process while the script was open for writing: until that one has
        // become its program, ours is "busy".
        let started = Instant::now();
        loop {
            let arguments = ["wg".into(), "wg0".into()];
            match start_program(path.clone(), arguments, tun.as_fd(), uapi.as_fd(), Output::Dropped) {
                Err(DaemonError::Start(error))
                    if error.kind() == io::ErrorKind::ExecutableFileBusy
                        && started.elapsed() < Duration::from_secs(10) => {}
                outcome => return outcome,
            }
        }
    }

    #[test]
    fn the_second_process_gets_the_descriptors_and_the_arguments() {
        let scratch = Scratch::new();
        let (mut tun, tun_end) = io::pipe().unwrap();
        let (mut uapi, uapi_end) = io::pipe().unwrap();
        let script = "set -e\n\
            echo tun $1 $2 $WG_PROCESS_FOREGROUND > /proc/self/fd/$WG_TUN_FD\n\
            echo uapi > /proc/self/fd/$WG_UAPI_FD\n\
            echo ready > /proc/self/fd/$LOCKGATE_READY_FD";
        start_script(&scratch, script, &tun_end.into(), &uapi_end.into()).unwrap();
        // The ends: nobody else holds the descriptors once the script is over.
        let mut said = (String::new(), String::new());
        tun.read_to_string(&mut said.0).unwrap();
        uapi.read_to_string(&mut said.1).unwrap();
        assert_eq!(said, ("tun wg wg0 1\n".into(), "uapi\n".into()));
    }

    /// Runs as the second process of the next test: takes over, says so, serves one client, and ends.
    #[test]
    #[ignore = "the second process of a_listening_socket_goes_on_in_the_second_process_which_holds_no_folder, which runs it"]
    fn the_second_process() {
        let inherited = Inherited::take().unwrap();
        let Some(ready) = inherited.ready else { return };
        assert!(wants_foreground());
        let own = rustix::process::getpid();
        assert_eq!(rustix::process::getsid(None), Ok(own), "a session of its own");
        // Dropped after the socket, so that its end says that the socket's file is gone.
        let mut device = PipeWriter::from(inherited.tun.unwrap());
        let socket = UnixSocket::adopt(inherited.uapi.unwrap()).unwrap();
        let listener = UnixListener::from(socket.duplicate().unwrap());
        listener.set_nonblocking(false).unwrap();
        device.write_all(b"device").unwrap();
        ready.at_work();
        assert_eq!(env::current_dir().unwrap(), PathBuf::from("/"), "it holds no folder");
        listener.accept().unwrap().0.write_all(b"hello").unwrap();
    }

    #[test]
    fn a_listening_socket_goes_on_in_the_second_process_which_holds_no_folder() {
        let scratch = Scratch::new();
        let path = scratch.file("wg0.sock");
        let socket = UnixSocket::bind("test", &path, 0o600, 4).unwrap();
        let (mut tun, tun_end) = io::pipe().unwrap();
        let second =
            ["--ignored", "--exact", "machine::daemon::tests::the_second_process"].map(OsString::from);
        start_program(program().unwrap(), second, tun_end.as_fd(), socket.as_fd(), Output::Dropped).unwrap();
        drop(tun_end);
        socket.hand_over();
        let mut said = (String::new(), String::new());
        unix::connect(&path).unwrap().read_to_string(&mut said.0).unwrap();
        // Its end: the second process has left.
        tun.read_to_string(&mut said.1).unwrap();
        assert_eq!(said, ("hello".into(), "device".into()));
        assert!(!path.exists(), "the file went with its new owner");
    }

    #[test]
    fn the_first_process_tells_why_the_second_gave_up() {
        let scratch = Scratch::new();
        let (_tun, tun_end) = io::pipe().unwrap();
        let (_uapi, uapi_end) = io::pipe().unwrap();
        let (tun, uapi) = (tun_end.into(), uapi_end.into());
        let script = "echo no rules > /proc/self/fd/$LOCKGATE_READY_FD; exit 1";
        let error = start_script(&scratch, script, &tun, &uapi).unwrap_err().to_string();
        assert!(error.contains("gave up: no rules"), "{error}");
        let scratch = Scratch::new();
        let error = start_script(&scratch, "exit 7", &tun, &uapi).unwrap_err().to_string();
        assert!(error.contains("exit status: 7"), "{error}");
        let missing = start_program(scratch.file("none"), [], tun.as_fd(), uapi.as_fd(), Output::Dropped);
        assert!(matches!(missing, Err(DaemonError::Start(_))), "{missing:?}");
    }

    #[test]
    fn an_inherited_descriptor_is_owned_once_and_not_passed_on() {
        let (mut reading, writing) = io::pipe().unwrap();
        let number = std::os::fd::IntoRawFd::into_raw_fd(inheritable(writing.as_fd()).unwrap());
        drop(writing);
        let owned = take(TUN, Some(number.to_string().into())).unwrap().unwrap();
        assert_eq!(owned.as_raw_fd(), number);
        assert!(is_closed_on_exec(number).unwrap());
        assert!(take(TUN, Some(number.to_string().into())).is_err(), "a second owner");
        PipeWriter::from(owned).write_all(b"x").unwrap();
        let mut said = String::new();
        reading.read_to_string(&mut said).unwrap();
        assert_eq!(said, "x");
    }

    #[test]
    fn what_names_no_descriptor_is_an_error_that_names_the_variable() {
        assert!(take(TUN, None).unwrap().is_none());
        assert!(take(TUN, Some("".into())).unwrap().is_none());
        for value in ["x", "-1", "+9", " 9", "0", "2", "1000000", "99999999999"] {
            let error = take(UAPI, Some(value.into())).unwrap_err().to_string();
            assert!(error.contains(&format!("WG_UAPI_FD={value} ")), "{error}");
        }
    }
}
