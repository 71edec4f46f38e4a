//! The README's walk through two hosts: its commands and its files as they are written there, on loopback and other ports.
#![expect(clippy::disallowed_methods, reason = "the test reads the README and does what its reader does")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Either may fail where the process has ended already, which is all they are for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two hosts that are two folders.
struct Walk {
    dir: tempfile::TempDir,
    readme: String,
    /// What the README says, and what is true here.
    instead: Vec<(String, String)>,
}

impl Walk {
    fn new() -> Self {
        let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        let readme = std::fs::read_to_string(readme).expect("the README");
        let tcp = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [publisher, subscriber] = tcp.map(|port| port.local_addr().expect("bound").to_string());
        let instead = vec![
            ("127.0.0.1:5556".into(), publisher),
            ("127.0.0.1:5557".into(), subscriber),
            ("--interval 1s".into(), "--interval 20ms".into()),
        ];
        Self { dir: tempfile::tempdir().expect("a temporary folder"), readme, instead }
    }

    fn here(&self, text: &str) -> String {
        self.instead.iter().fold(text.to_owned(), |text, (said, here)| text.replace(said, here))
    }

    fn file(&self, host: &str, name: &str) -> PathBuf {
        self.dir.path().join(host).join("lockgate").join(name)
    }

    /// A command of the README, ready to run on a host.
    fn command(&self, host: &str, line: &str) -> Command {
        assert!(self.readme.lines().any(|other| other == line), "the README does not say:  {line}");
        let line = self.here(line);
        let (line, stdin) = line.split_once(" < ").map_or((&*line, None), |(line, file)| (line, Some(file)));
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("lockgate"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
        let host = self.dir.path().join(host);
        let stdin = stdin.map(|file| File::open(host.join(file)).expect("the README's file"));
        command.args(words).current_dir(host).stdin(stdin.map_or_else(Stdio::null, Stdio::from));
        command
    }

    fn run(&self, host: &str, line: &str) -> Output {
        self.command(host, line).output().expect("lockgate runs")
    }

    fn fine(&self, host: &str, line: &str) -> String {
        let output = self.run(host, line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// The README's block that begins with this comment.
    fn block(&self, first: &str) -> String {
        let begins = |block: &&str| block.starts_with(&format!("# {first}"));
        let block =
            self.readme.split("```toml\n").find(begins).unwrap_or_else(|| panic!("no block: {first}"));
        self.here(block.split("```").next().expect("split gives one at least"))
    }

    /// Makes the files of both hosts, as step 2 says.
    fn init(&mut self) {
        for host in ["north", "south"] {
            std::fs::create_dir(self.dir.path().join(host)).expect("our own folder");
            let said = self.fine(host, &format!("lockgate init --name edge-{host} --dir lockgate"));
            let public = self.fine(host, "lockgate pubkey < lockgate/node.key").trim().to_owned();
            assert!(said.contains(&format!("public key of edge-{host}: {public}")), "{said}");
            let udp = UdpSocket::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
            self.edit(host, "0.0.0.0:51820", &udp.to_string());
            // The usual place is one for the whole host.
            self.edit(host, "[node]", "[node]\ncontrol = \"control.sock\"");
            self.instead.push((format!("PUBLIC KEY OF EDGE-{}", host.to_uppercase()), public));
            if host == "south" {
                self.instead.push(("198.51.100.7:51820".into(), udp.to_string()));
            }
        }
    }

    fn edit(&self, host: &str, said: &str, instead: &str) {
        let file = self.file(host, "lockgate.toml");
        let text = std::fs::read_to_string(&file).expect("init wrote it");
        assert!(text.contains(said), "{said} in {text}");
        std::fs::write(&file, text.replacen(said, instead, 1)).expect("our own file");
    }

    /// Steps 3 and 4.
    fn configure(&self) {
        self.edit("south", "address = [\"10.77.0.1\"]", "address = [\"10.77.0.2\"]");
        for host in ["north", "south"] {
            let file = self.file(host, "lockgate.toml");
            let text = std::fs::read_to_string(&file).expect("init wrote it");
            let more = self.block(&format!("on edge-{host}"));
            std::fs::write(&file, format!("{text}\n{more}")).expect("our own file");
            std::fs::write(self.file(host, "policy.toml"), self.block("policy.toml")).expect("our own file");
        }
    }

    /// What the README says about a change of the policy.
    fn change(&self, host: &str) {
        let reached = self.fine(host, "lockgate reach --policy lockgate/policy.toml");
        assert!(reached.contains("telemetry temp.*  telemetry-to-historian (line 16)"), "{reached}");
        let ask = "lockgate explain --policy lockgate/policy.toml edge-south edge-north/telemetry#vib.1";
        let explained = self.run(host, ask);
        assert_eq!(explained.status.code(), Some(1), "denied");
        let policy = self.block("policy.toml");
        let candidate = policy.replace("topics = [\"temp.\"]", "topics = [\"temp.\", \"vib.\"]");
        assert_ne!(policy, candidate);
        std::fs::write(self.file(host, "candidate.toml"), candidate).expect("our own file");
        let diff = self.run(host, "lockgate policy diff lockgate/policy.toml lockgate/candidate.toml");
        let said = String::from_utf8_lossy(&diff.stdout);
        assert!(diff.status.code() == Some(1) && said.contains("telemetry vib.*"), "{said}");
        self.fine(host, "lockgate policy stage lockgate/candidate.toml -c lockgate/lockgate.toml");
        let status = self.fine(host, "lockgate status -c lockgate/lockgate.toml");
        assert!(status.contains("candidate.toml"), "{status}");
        self.fine(host, "lockgate policy promote -c lockgate/lockgate.toml");
    }

    /// Step 5: a node that says that it is ready, and what it logs afterwards.
    fn up(&self, host: &str) -> (Running, BufReader<ChildStderr>) {
        let tested = self.fine(host, "lockgate policy test --cover --mutate lockgate/policy.toml");
        assert!(tested.contains("3 passed, 0 failed") && tested.contains("survived 0"), "{tested}");
        let checked = self.fine(host, "lockgate check -c lockgate/lockgate.toml");
        assert!(checked.contains("ok: 1 peers") && !checked.contains("warning"), "{checked}");
        let mut command = self.command(host, "lockgate up -c lockgate/lockgate.toml");
        let mut node = command.stderr(Stdio::piped()).spawn().expect("lockgate runs");
        let mut log = BufReader::new(node.stderr.take().expect("piped"));
        let node = Running(node);
        wait_for(&mut log, "ready");
        (node, log)
    }
}

fn wait_for(log: &mut impl BufRead, word: &str) {
    let mut all = String::new();
    while log.read_line(&mut all).expect("text") > 0 {
        if all.lines().last().is_some_and(|line| line.contains(word)) {
            return;
        }
    }
    panic!("no {word:?} in the log:\n{all}");
}

#[test]
fn the_readme_leads_from_nothing_to_two_nodes_that_carry_and_deny() {
    let mut walk = Walk::new();
    walk.init();
    walk.configure();
    let (_south, mut log) = walk.up("south");
    let _north = walk.up("north");
    wait_for(&mut log, "tunnel up");
    let publish = "lockgate zmq pub tcp://127.0.0.1:5556 --bind --topic temp.1 21.5 --count 0 --interval 1s";
    let _publisher = Running(walk.command("north", publish).spawn().expect("lockgate runs"));
    let subscribe = "lockgate zmq sub tcp://127.0.0.1:5557 --topic temp. --count 3 --timeout 30s";
    assert_eq!(walk.fine("south", subscribe), "temp.1 | 21.5\n".repeat(3));
    let denied = "lockgate zmq sub tcp://127.0.0.1:5557 --topic vib. --count 1 --timeout 3s";
    assert_eq!(walk.run("south", denied).status.code(), Some(1), "nothing comes");
    let status = walk.fine("south", "lockgate status -c lockgate/lockgate.toml");
    for word in
        ["edge-north", "up", "DENIED", "telemetry", "subscribe by edge-south (SUB)", "vib.", "policy.toml:16"]
    {
        assert!(status.contains(word), "{word} in {status}");
    }
    let answered = walk.fine("south", "lockgate ping edge-north -c lockgate/lockgate.toml");
    assert!(answered.contains("4 of 4 answered") && answered.contains("round trip"), "{answered}");
    let peers = walk.fine("south", "lockgate peers -c lockgate/lockgate.toml");
    assert!(peers.contains("edge-north") && peers.contains(" ago") && peers.contains("10.77.0.1"), "{peers}");
    walk.change("south");
}
