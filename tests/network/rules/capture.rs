//! Packets as tcpdump and `lockgate observe` write them: pcap.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use lockgate_tests::network::{Lab, SOON, eventually, unique_name};
use lockgate_tests::rig::lockgate_command;

use super::{Host, TUN};

/// Before the packets.
const HEADER: usize = 24;
/// `LINKTYPE_RAW`: packets begin with their IP header.
const RAW: u32 = 101;

/// The first bytes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Captured {
    /// How long the whole packet is.
    pub(super) length: usize,
    pub(super) bytes: Vec<u8>,
}

impl Captured {
    /// What is left of it where only so many bytes are taken.
    pub(super) fn cut(&self, length: usize) -> Self {
        Self { length: self.length, bytes: self.bytes[..self.bytes.len().min(length)].to_vec() }
    }

    /// What follows the headers of IPv4 without options and UDP.
    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[28..]
    }
}

/// The packets of a pcap stream, as far as it goes.
pub(super) fn packets(stream: &[u8]) -> Vec<Captured> {
    let number =
        |at: usize| stream.get(at..at + 4).map(|four| u32::from_le_bytes(four.try_into().expect("four")));
    if stream.len() < HEADER {
        return Vec::new();
    }
    assert_eq!((number(0), number(20)), (Some(0xa1b2_c3d4), Some(RAW)), "a pcap stream of IP packets");
    let (mut at, mut found) = (HEADER, Vec::new());
    while let (Some(held), Some(length)) = (number(at + 8), number(at + 12)) {
        let Some(bytes) = stream.get(at + 16..at + 16 + held as usize) else { break };
        found.push(Captured { length: length as usize, bytes: bytes.to_vec() });
        at += 16 + held as usize;
    }
    found
}

/// tcpdump at the interface of a node.
pub(super) struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    /// Begins; what comes after this is captured whole.
    pub(super) fn start(lab: &Lab, host: &Host, filter: &str) -> Self {
        let file = lab.dir().join(format!("{}.pcap", unique_name()));
        let mut command = host.namespace.command("tcpdump");
        command.args(["-n", "-i", TUN, "-U", "--immediate-mode", "-s", "0", "-Z", "root", "-w"]);
        command.arg(&file).args(filter.split_whitespace());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("tcpdump starts");
        let mut said = BufReader::new(child.stderr.take().expect("piped above"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(said.read_line(&mut line).expect("text") > 0, "tcpdump does not listen");
        }
        // It would end of a pipe that nobody reads.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Self { child, file }
    }

    /// What has been captured.
    #[expect(clippy::disallowed_methods, reason = "the test reads what tcpdump wrote")]
    pub(super) fn packets(&self) -> Vec<Captured> {
        packets(&std::fs::read(&self.file).unwrap_or_default())
    }

    /// What has been captured, once it is so many.
    pub(super) fn wait(&self, what: &str, count: usize) -> Vec<Captured> {
        eventually(what, SOON, || Some(self.packets()).filter(|packets| packets.len() >= count))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `lockgate observe`.
pub(super) struct Observer {
    child: Child,
    stdout: ChildStdout,
    seen: Vec<u8>,
}

impl Observer {
    /// Begins; copies that come after this are seen, up to so many.
    pub(super) fn start(host: &Host, count: usize) -> Self {
        let mut observer = Self::spawn(host, &["--count", &count.to_string()]);
        // The header is written once the node has let it look.
        observer.seen = vec![0; HEADER];
        observer.stdout.read_exact(&mut observer.seen).expect("the header of a pcap stream");
        observer
    }

    fn spawn(host: &Host, arguments: &[&str]) -> Self {
        let mut command: Command = lockgate_command();
        command.arg("observe").args(arguments).arg("-c").arg(&host.config).stdout(Stdio::piped());
        let mut child = command.spawn().expect("lockgate runs");
        let stdout = child.stdout.take().expect("piped above");
        Self { child, stdout, seen: Vec::new() }
    }

    /// What it has seen, once it was enough.
    pub(super) fn packets(mut self) -> Vec<Captured> {
        self.stdout.read_to_end(&mut self.seen).expect("its output");
        assert!(self.child.wait().expect("our own child").success(), "observe ends well");
        packets(&self.seen)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
