//! `lockgate observe` beside a running `lockgate up` (beta), to which a node in this process (alpha) sends copies.
//!
//! ```text
//! alpha (this test) ── UDP on loopback ──▶ beta: lockgate up ── control.sock ──▶ lockgate observe ── pipe ──▶ this test
//! ```
#![expect(clippy::disallowed_methods, reason = "the test has files and a socket of its own")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lockgate::machine::clock::Clock;
use lockgate::machine::entropy;
use lockgate::node::{Gate, Ingredients, Neighbour, Node};
use lockgate_proto::device::{CopyKind, CopyOrder, Judged, PeerConfig};
use lockgate_proto::discard::Discard;
use lockgate_proto::keys::{PrivateKey, PublicKey};
use lockgate_proto::outbox::{Envelope, Outbox};
use lockgate_proto::parcel::Single;
use lockgate_proto::policy::Policy;
use lockgate_proto::prefix::Prefix;
use lockgate_proto::rules::Rules;
use serde_json::{Value, json};

/// The header of a pcap stream of IP packets.
const HEADER: [u8; 24] =
    [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0];

/// Beta is the observer of everything.
const POLICY: &str = "default = \"deny\"\nrules = '''\nwatch 40 beta;\n'''\n[nodes]\nalpha = {}\nbeta = {}\n";

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Either may fail where the process has ended already, which is all they are for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Beta, running.
struct Beta {
    dir: tempfile::TempDir,
    node: Running,
    udp: SocketAddr,
    alpha: PrivateKey,
    public_key: String,
}

fn lockgate(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command
}

fn words(command: &mut Command) -> String {
    let output = command.output().expect("lockgate runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

impl Beta {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let udp = UdpSocket::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
        let public_key = words(&mut lockgate(dir.path(), &["keygen", "beta.key"])).trim().to_owned();
        let alpha = PrivateKey::from_bytes([7; 32]);
        let config = format!(
            r#"[node]
name = "beta"
key = "beta.key"
address = ["10.77.0.2"]
listen = "{udp}"
control = "control.sock"
policy = "policy.toml"
[[peer]]
name = "alpha"
public_key = "{}"
addresses = ["10.77.0.1"]
"#,
            alpha.public()
        );
        std::fs::write(dir.path().join("lockgate.toml"), config).expect("our own file");
        std::fs::write(dir.path().join("policy.toml"), POLICY).expect("our own file");
        let mut up = lockgate(dir.path(), &["up"]).stderr(Stdio::piped()).spawn().expect("lockgate runs");
        let mut log = BufReader::new(up.stderr.take().expect("piped"));
        let node = Running(up);
        let mut all = String::new();
        while !all.lines().last().is_some_and(|line| line.contains("ready")) {
            assert!(log.read_line(&mut all).expect("text") > 0, "never ready:\n{all}");
        }
        // What it says later has to go somewhere.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self { dir, node, udp, alpha, public_key }
    }

    fn observe(&self, args: &[&str]) -> (Running, ChildStdout) {
        let args = [&["observe"], args].concat();
        let mut command = lockgate(self.dir.path(), &args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lockgate runs");
        let stdout = child.stdout.take().expect("piped");
        (Running(child), stdout)
    }

    fn status(&self) -> Value {
        let status = words(&mut lockgate(self.dir.path(), &["status", "--json"]));
        serde_json::from_str(&status).expect("JSON")
    }
}

/// Alpha's end of the tunnel.
struct Alpha {
    node: Node,
    socket: UdpSocket,
    clock: Clock,
}

struct Out<'s>(&'s UdpSocket);

impl Outbox for Out<'_> {
    fn datagram(
        &mut self,
        envelope: &Envelope,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Discard>,
    ) -> Result<(), Discard> {
        let mut slot = vec![0; len];
        fill(&mut slot)?;
        self.0.send_to(&slot, envelope.path.remote).expect("loopback");
        Ok(())
    }
}

impl Alpha {
    /// With a session to beta.
    fn connect(to: &Beta) -> Self {
        let clock = Clock::start();
        let policy = Policy::parse("policy.toml", "default = \"deny\"\n").expect("a policy");
        let own: IpAddr = [10, 77, 0, 1].into();
        let tunnel = PeerConfig {
            public_key: PublicKey::from_base64(&to.public_key).expect("a key"),
            preshared_key: None,
            endpoint: Some(to.udp),
            keepalive: None,
        };
        let ingredients = Ingredients {
            name: "alpha".into(),
            identity: Some(to.alpha.clone()),
            addresses: vec![own],
            gate: Gate::Shut,
            randomness: entropy::randomness(),
            peers: vec![Neighbour {
                name: "beta".into(),
                tunnel,
                addresses: vec![Prefix::of([10, 77, 0, 2].into())],
            }],
            offers: Vec::new(),
            uses: Vec::new(),
            rules: Arc::new(Rules::compile(&policy, 1)),
            link_mtu: 1280,
            base: clock.std_base(),
        };
        let made = Node::new(ingredients, clock.now());
        let mut node = made.unwrap_or_else(|(name, error)| panic!("{name}: {error}"));
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        node.start(clock.now(), &mut Out(&socket));
        let mut alpha = Self { node, socket, clock };
        // Beta's answer to the initiation, and with it the session.
        let mut datagram = [0; 2048];
        while alpha.node.peers().all(|peer| peer.tunnel.last_handshake.is_none()) {
            let (len, from) = alpha.socket.recv_from(&mut datagram).expect("beta answers");
            let Alpha { node, socket, clock } = &mut alpha;
            let mut out = Out(socket);
            node.handle_udp(&from.into(), 0, &mut datagram[..len], clock.now(), &mut out, &mut |_| ());
        }
        alpha
    }

    fn copy(&mut self, packet: &[u8]) {
        let Self { node, socket, clock } = self;
        let beta = node.peer_named("beta").expect("it has this peer");
        let order = CopyOrder { judged: Judged::Outbound, kind: CopyKind::Watch, length: 40 };
        node.send_copies(beta, order, packet, &Single(packet), clock.now(), &mut Out(socket))
            .expect("it is sent");
    }
}

/// UDP of alpha's to 10.77.0.9, with this number in it.
fn packet(number: u8) -> Vec<u8> {
    let mut packet = vec![number; 100];
    packet[..12].copy_from_slice(&[0x45, 0, 0, 100, 0, 0, 0, 0, 64, 17, 0, 0]);
    packet[12..28].copy_from_slice(&[10, 77, 0, 1, 10, 77, 0, 9, 0, 7, 0, 8, 0, 80, 0, 0]);
    packet
}

fn read<const N: usize>(from: &mut impl Read) -> [u8; N] {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).expect("it goes on");
    bytes
}

#[test]
fn observe_begins_with_a_valid_header_at_once_and_ends_with_the_node() {
    let mut beta = Beta::start();
    let (mut observe, mut stdout) = beta.observe(&[]);
    assert_eq!(read(&mut stdout), HEADER);
    beta.node.0.kill().expect("it runs");
    assert_eq!(stdout.read_to_end(&mut Vec::new()).expect("a pipe"), 0);
    assert!(observe.0.wait().expect("our own child").success());
}

#[test]
fn observe_ends_when_its_reader_has_left_though_no_packet_comes() {
    let beta = Beta::start();
    let (mut observe, mut stdout) = beta.observe(&[]);
    assert_eq!(read(&mut stdout), HEADER);
    drop(stdout);
    assert!(observe.0.wait().expect("our own child").success());
}

#[test]
fn an_observer_sees_what_a_peer_copies_here_and_ends_at_its_count() {
    let beta = Beta::start();
    let mut alpha = Alpha::connect(&beta);
    let (mut observe, mut stdout) = beta.observe(&["--count", "2"]);
    assert_eq!(read(&mut stdout), HEADER, "from now on nothing is missed");
    for number in [1, 2] {
        alpha.copy(&packet(number));
        let record: [u8; 16] = read(&mut stdout);
        assert_eq!(record[8..], [40, 0, 0, 0, 100, 0, 0, 0]);
        assert_eq!(read::<40>(&mut stdout), packet(number)[..40]);
    }
    assert!(observe.0.wait().expect("our own child").success());
    let copies = &beta.status()["copies"];
    let wanted = json!({ "received": 2, "unobserved": 0, "refused": 0, "dropped": 0 });
    assert_eq!(*copies, wanted);
}

#[test]
fn as_json_it_is_a_line_of_text_a_packet() {
    let beta = Beta::start();
    let mut alpha = Alpha::connect(&beta);
    let (_observe, stdout) = beta.observe(&["--json", "--count", "1"]);
    // There is no header that says when it has begun, but what came before is not for it.
    let is_observed = |copies: &Value| copies["received"].as_u64() > copies["unobserved"].as_u64();
    while !is_observed(&beta.status()["copies"]) {
        alpha.copy(&packet(3));
    }
    let mut text = String::new();
    BufReader::new(stdout).read_to_string(&mut text).expect("text");
    let line: Value = serde_json::from_str(&text).expect("one line of JSON");
    let said = ["from", "judged", "kind"].map(|key| line[key].as_str().expect("text"));
    assert_eq!(said, ["alpha", "out", "watch"]);
    assert_eq!((line["length"].as_u64(), line["bytes"].as_str().map(str::len)), (Some(100), Some(80)));
}

/// Whoever asks and then does not read.
fn ask_by_hand(beta: &Beta) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(beta.dir.path().join("control.sock")).expect("beta listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    stream.write_all(b"{\"command\":\"observe\"}\n").expect("beta reads");
    let mut reader = BufReader::new(stream);
    assert_eq!(line(&mut reader)["observing"], "beta");
    reader
}

fn line(from: &mut impl BufRead) -> Value {
    let mut line = String::new();
    from.read_line(&mut line).expect("text");
    serde_json::from_str(&line).expect("JSON")
}

#[test]
fn a_slow_observer_misses_packets_and_is_told_how_many() {
    let beta = Beta::start();
    let mut alpha = Alpha::connect(&beta);
    let mut slow = ask_by_hand(&beta);
    let copies = || beta.status()["copies"].clone();
    let number = |of: &Value, key: &str| of[key].as_u64().expect("a number");
    while number(&copies(), "dropped") == 0 {
        (0..500).for_each(|_| alpha.copy(&packet(1)));
    }
    let (mut before, mut seen) = (Value::Null, copies());
    while before != seen {
        // Some may be on their way still.
        (before, seen) = (seen, copies());
    }
    let mut lost = Value::Null;
    for _ in 0..number(&seen, "received") - number(&seen, "dropped") {
        lost = line(&mut slow)["lost"].take();
        if !lost.is_null() {
            break;
        }
    }
    while lost.is_null() {
        // It is told with the next packet that it gets.
        alpha.copy(&packet(2));
        lost = line(&mut slow)["lost"].take();
    }
    assert_eq!(lost.as_u64(), Some(number(&copies(), "dropped")));
    assert_eq!(line(&mut slow)["from"], "alpha", "and it goes on");
}

#[test]
fn four_observe_and_a_fifth_is_told_why_not() {
    let beta = Beta::start();
    let mut observers: Vec<_> = (0..4).map(|_| beta.observe(&[])).collect();
    for (_, stdout) in &mut observers {
        assert_eq!(read(stdout), HEADER);
    }
    let output = lockgate(beta.dir.path(), &["observe"]).output().expect("lockgate runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("4 observe already"), "{said}");
    let (mut gone, stdout) = observers.remove(0);
    drop(stdout);
    assert!(gone.0.wait().expect("our own child").success());
    let (_fifth, mut stdout) = beta.observe(&[]);
    assert_eq!(read(&mut stdout), HEADER, "the place of one that has left is free");
}

#[test]
fn observe_without_a_node_says_so_and_writes_no_header() {
    let mut beta = Beta::start();
    beta.node.0.kill().expect("it runs");
    beta.node.0.wait().expect("our own child");
    let output = lockgate(beta.dir.path(), &["observe"]).output().expect("lockgate runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{said}");
    assert!(said.contains("lockgate up"), "{said}");
}
