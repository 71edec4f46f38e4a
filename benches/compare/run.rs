//! One cell: two applications, directly or with two nodes between them, and what the nodes' processor did meanwhile.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use lockgate_tests::rig::{Pair, Plan, Port, offer, one_service, uses};

/// Microseconds in a tick of `/proc/PID/stat` (USER_HZ is 100 on every Linux that we know).
const TICK_US: f64 = 10_000.0;

/// How the applications reach each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// One TCP connection on loopback.
    Direct,
    /// Through two nodes.
    Lockgate,
}

impl Way {
    /// As the report calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Lockgate => "through lockgate",
        }
    }
}

/// What a PUSH/PULL cell gave.
pub(crate) struct Throughput {
    /// Messages per second at the receiver, after the warm-up.
    pub(crate) per_second: f64,
    /// Processor time of both nodes for a message, microseconds.
    pub(crate) nodes_cpu_us: f64,
}

/// What a REQ/REP cell gave, microseconds.
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Processor time of both nodes for a round trip.
    pub(crate) nodes_cpu_us: f64,
}

/// PUSH/PULL with messages of `size` bytes.
pub(crate) fn throughput(way: Way, size: usize, seconds: f64) -> Throughput {
    let path = Path::new(way, "pull");
    let mut sink = App::start(&["pull", &path.near]);
    sink.expect("listening");
    let source = App::start(&["push", &path.far, &size.to_string(), &seconds.to_string()]);
    sink.expect("measuring");
    let before = path.cpu_us();
    let [count, elapsed] = sink.numbers();
    let nodes = path.cpu_us() - before;
    source.finish();
    sink.finish();
    Throughput { per_second: count / elapsed, nodes_cpu_us: nodes / count }
}

/// REQ/REP with messages of 64 bytes.
pub(crate) fn latency(way: Way, trips: u64) -> Latency {
    let path = Path::new(way, "rep");
    let mut server = App::start(&["rep", &path.near]);
    server.expect("listening");
    let mut client = App::start(&["req", &path.far, "64", &trips.to_string()]);
    client.expect("measuring");
    let before = path.cpu_us();
    let [p50, p99] = client.numbers();
    let nodes = path.cpu_us() - before;
    client.finish();
    server.finish();
    Latency { p50, p99, nodes_cpu_us: nodes / trips as f64 }
}

/// Where the two applications bind and connect, and the nodes between, if any.
struct Path {
    near: String,
    far: String,
    nodes: Option<Pair>,
}

impl Path {
    fn new(way: Way, host_type: &str) -> Self {
        let near = Port::tcp().release();
        if way == Way::Direct {
            return Self { far: near.clone(), near, nodes: None };
        }
        let far = Port::tcp().release();
        let nodes = Pair::start(&Plan {
            policy: one_service("bench", host_type, ""),
            alpha: offer("bench", &near),
            beta: uses("bench", &far),
            ..Plan::default()
        });
        Self { near, far, nodes: Some(nodes) }
    }

    fn cpu_us(&self) -> f64 {
        self.nodes
            .as_ref()
            .map_or(0.0, |pair| (pair.alpha.cpu_ticks() + pair.beta.cpu_ticks()) as f64 * TICK_US)
    }
}

/// This program again, as an application; killed when it goes out of scope.
struct App {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl App {
    fn start(arguments: &[&str]) -> Self {
        let own = std::env::current_exe().expect("a process knows its executable");
        let mut child = Command::new(own)
            .arg("--app")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs again");
        let said = BufReader::new(child.stdout.take().expect("piped above")).lines();
        Self { child, said }
    }

    fn line(&mut self) -> String {
        self.said.next().expect("the application ended early").expect("text")
    }

    fn expect(&mut self, words: &str) {
        assert_eq!(self.line(), words);
    }

    fn numbers(&mut self) -> [f64; 2] {
        let line = self.line();
        let (first, second) = line.split_once(' ').expect("two numbers");
        [first, second].map(|number| number.parse().expect("a number"))
    }

    fn finish(mut self) {
        let status = self.child.wait().expect("our own child");
        assert!(status.success(), "an application failed: {status}");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Either may fail where it has ended already, which is all they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
