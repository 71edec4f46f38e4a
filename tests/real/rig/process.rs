//! One `lockgate up` as a child process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

use super::{SOON, lockgate, lockgate_command};

/// What the node says on stderr once both its sockets and its applications' endpoints are open.
const READY: &str = "ready";

/// A running node; killed when it goes out of scope.
pub struct NodeProcess {
    name: String,
    config: PathBuf,
    /// The network namespace that it runs in, if not the test's own.
    namespace: Option<String>,
    child: Child,
    log: Arc<Log>,
    /// Lines of the log that an earlier run of this node wrote.
    start_of_run: usize,
}

#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    grown: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<String>,
    /// Readers that have not seen the end of their pipe.
    open: usize,
}

impl Log {
    /// A test that failed while it looked at the log must not hide its message behind a poisoned lock.
    fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeProcess {
    /// Starts `lockgate up -c CONFIG`, in a network namespace if one is named; does not wait.
    pub fn spawn(name: &str, config: &Path, namespace: Option<String>) -> Self {
        let log = Arc::default();
        let child = start(name, config, namespace.as_deref(), &log);
        Self { name: name.to_owned(), config: config.to_owned(), namespace, child, log, start_of_run: 0 }
    }

    /// The node's configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Waits until the node says that it is ready and answers on its control socket.
    pub fn await_ready(&mut self) {
        self.await_line(READY);
        let status = self.status();
        assert!(status.is_object(), "{}: status --json is no object: {status}", self.name);
    }

    /// Waits for a line of this run's log that contains `needle`, and returns it.
    pub fn await_line(&self, needle: &str) -> String {
        let end = Instant::now() + SOON;
        let mut state = self.log.state();
        loop {
            let run = &state.lines[self.start_of_run.min(state.lines.len())..];
            if let Some(line) = run.iter().find(|line| line.contains(needle)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && state.open > 0,
                "{}: no log line with {needle:?}; its log:\n{}",
                self.name,
                run.join("\n")
            );
            state = self.log.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Every line that the node has logged so far, earlier runs included.
    pub fn log(&self) -> Vec<String> {
        self.log.state().lines.clone()
    }

    /// Fails the test where the node logged an ERROR or a panic.
    pub fn assert_no_errors(&self) {
        let bad: Vec<String> = self
            .log()
            .into_iter()
            .filter(|line| line.contains("ERROR") || line.contains("panicked"))
            .collect();
        assert!(bad.is_empty(), "{} logged:\n{}", self.name, bad.join("\n"));
    }

    /// What `lockgate status --json` says.
    pub fn status(&self) -> Value {
        let output = lockgate_command()
            .args(["status", "--json", "-c"])
            .arg(&self.config)
            .output()
            .expect("lockgate runs");
        assert!(
            output.status.success(),
            "{}: status: {}\n{}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("status --json prints JSON")
    }

    /// Waits until `status --json` lists a denial (an entry of `denials`) that mentions all of `words`.
    pub fn await_denial(&self, words: &[&str]) -> Value {
        super::eventually(&format!("{}: a denial that mentions {words:?}", self.name), SOON, || {
            let status = self.status();
            let mentions = |entry: &&Value| {
                let text = entry.to_string().to_lowercase();
                words.iter().all(|word| text.contains(&word.to_lowercase()))
            };
            status["denials"].as_array()?.iter().find(mentions).cloned()
        })
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.await_exit(SOON);
    }

    /// Asks for a clean stop.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to read its policy again.
    pub fn hangup(&self) {
        self.signal(Signal::HUP);
    }

    /// How the process ended, if it has.
    pub fn has_exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits for the process to end.
    ///
    /// # Panics
    /// If it runs on past `deadline`.
    pub fn await_exit(&mut self, deadline: Duration) -> ExitStatus {
        if let Some(status) = self.has_exited() {
            return status;
        }
        let pidfd = pidfd_open(self.pid(), PidfdFlags::empty()).expect("our own child");
        let time = Timespec::try_from(deadline).expect("a short time");
        let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&time)).expect("poll");
        assert_eq!(
            ended,
            1,
            "{} still runs after {deadline:?}; its log:\n{}",
            self.name,
            self.log().join("\n")
        );
        self.child.wait().expect("our own child")
    }

    /// Starts the node again with the same files, once the last run has ended, and waits until it is ready.
    pub fn restart(&mut self) {
        self.await_exit(SOON);
        self.start_of_run = self.log().len();
        self.child = start(&self.name, &self.config, self.namespace.as_deref(), &self.log);
        self.await_ready();
    }

    /// Bytes of memory that are resident now.
    pub fn rss(&self) -> u64 {
        let status = self.proc("status");
        let line =
            status.lines().find(|line| line.starts_with("VmRSS:")).expect("a running process has VmRSS");
        let kib: u64 =
            line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("VmRSS is a number of kB");
        kib * 1024
    }

    /// Open file descriptors.
    pub fn fds(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the node runs").count()
    }

    /// Processor time used so far, in ticks of 1/100 s.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = self.proc("stat");
        // The name in parentheses may hold spaces; utime and stime are fields 14 and 15 of the line.
        let fields: Vec<&str> =
            stat.rsplit_once(')').expect("stat names the program").1.split_whitespace().collect();
        [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum()
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_else(|error| {
            panic!("{} is gone ({error}); its log:\n{}", self.name, self.log().join("\n"))
        })
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("our own child");
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Either may fail where the process has ended already, which is all they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(name: &str, config: &Path, namespace: Option<&str>, log: &Arc<Log>) -> Child {
    let mut child = match namespace {
        // `ip` becomes the node: the process that is killed and measured is the node itself.
        Some(namespace) => {
            let mut ip = Command::new("ip");
            ip.args(["netns", "exec", namespace]).arg(lockgate());
            ip
        }
        None => lockgate_command(),
    }
    .arg("up")
    .arg("-c")
    .arg(config)
    .stdin(Stdio::null())
    .stdout(Stdio::null())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
    let stderr = child.stderr.take().expect("piped above");
    let log = Arc::clone(log);
    log.state().open += 1;
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            log.state().lines.push(line);
            log.grown.notify_all();
        }
        log.state().open -= 1;
        log.grown.notify_all();
    });
    child
}
