//! A served socket in a scratch directory: honest clients, rude ones, and the end of its file.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, TryRecvError, channel};

use lockgate_proto::keys::PublicKey;

use super::*;
use crate::machine::poller::Poller;
use crate::machine::scratch::Scratch;
use crate::machine::unix;
use crate::uapi::{Edit, PeerReport, allowed_ip};

const LONG: Duration = Duration::from_secs(20);
const KEY: &str = "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493";
const EMPTY: &str = "errno=0\n\n";

/// A socket, and a thread in the reactor's place: it remembers a port, refuses port 1, does not answer about port 2, and
/// counts the ranges of its one peer.
struct Served {
    path: PathBuf,
    stop: Waker,
    stopping: Arc<AtomicBool>,
    reactor: Option<JoinHandle<()>>,
    gone: Receiver<()>,
    scratch: Option<Scratch>,
}

fn serve_fake(patience: Patience) -> Served {
    let scratch = Scratch::new();
    let folder = scratch.file("run/wireguard");
    let mut poller = Poller::new().unwrap();
    let stop = poller.waker();
    let server = serve(bind(&folder, "wg0").unwrap(), poller.waker(), patience).unwrap();
    let stopping = Arc::new(AtomicBool::new(false));
    let (tell_gone, gone) = channel();
    let until = Arc::clone(&stopping);
    let reactor = thread::spawn(move || {
        let mut device = Device::default();
        while !until.load(Ordering::Acquire) {
            device.serve(&server, &tell_gone);
            poller.wait(Some(LONG)).unwrap();
        }
    });
    let path = folder.join("wg0.sock");
    Served { path, stop, stopping, reactor: Some(reactor), gone, scratch: Some(scratch) }
}

#[derive(Default)]
struct Device {
    port: u16,
    ranges: usize,
    kept: Vec<UapiRequest>,
}

impl Device {
    fn serve(&mut self, server: &UapiServer, gone: &Sender<()>) {
        if server.is_gone() {
            let _ = gone.send(());
        }
        loop {
            match server.requests.try_recv() {
                Ok(UapiRequest::Get { reply }) => drop(reply.send(self.report())),
                Ok(UapiRequest::Set { changes, reply }) => match self.apply(&changes) {
                    Some(outcome) => drop(reply.send(outcome)),
                    None => self.kept.push(UapiRequest::Set { changes, reply }),
                },
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn apply(&mut self, changes: &[Change]) -> Option<Result<(), Errno>> {
        for change in changes {
            match change {
                Change::ListenPort(1) => return Some(Err(Errno::AddressInUse)),
                Change::ListenPort(2) => return None,
                Change::ListenPort(port) => self.port = *port,
                Change::Peer(peer) => {
                    self.ranges += peer.edits.iter().filter(|edit| matches!(edit, Edit::Allow(_))).count();
                }
                _ => {}
            }
        }
        Some(Ok(()))
    }

    fn report(&self) -> Report {
        let mut report = Report { listen_port: self.port, ..Report::default() };
        if self.ranges > 0 {
            let mut peer = PeerReport::new(PublicKey::from_bytes([7; 32]));
            let range = allowed_ip::parse("10.0.0.0/8").unwrap();
            peer.allowed_ips = vec![range; self.ranges];
            report.peers.push(peer);
        }
        report
    }
}

impl Served {
    fn connect(&self) -> UnixStream {
        let stream = unix::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream
    }

    fn works(&self) {
        assert!(ask(&self.connect(), "get=1\n\n").ends_with(EMPTY));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.wake();
        let ended = self.reactor.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap();
            assert!(!self.path.exists(), "the socket's file is gone");
        }
        drop(self.scratch.take());
    }
}

/// What comes back, to its empty line.
fn ask(mut stream: &UnixStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    answer(stream)
}

fn answer(mut stream: &UnixStream) -> String {
    let mut text = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    while !text.ends_with(b"\n\n") {
        let length = stream.read(&mut chunk).unwrap();
        assert_ne!(length, 0, "closed after {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8(text).unwrap()
}

/// What comes back until the server closes.
fn rest_of(mut stream: &UnixStream) -> String {
    let mut text = Vec::new();
    // A reset means the same as an end: the server closed with bytes of ours unread.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

fn short() -> Patience {
    let brief = Duration::from_millis(200);
    Patience { request: brief, idle: brief, answer: brief }
}

#[test]
fn many_requests_follow_each_other_on_one_connection() {
    let served = serve_fake(Patience::default());
    let stream = served.connect();
    assert_eq!(ask(&stream, "get=1\n\n"), EMPTY);
    assert_eq!(ask(&stream, "set=1\nlisten_port=51820\n\n"), EMPTY);
    assert_eq!(ask(&stream, "get=1\n\n"), format!("listen_port=51820\n{EMPTY}"));
    // Byte by byte, and several at once.
    for byte in "set=1\nlisten_port=7\n\n".bytes() {
        (&stream).write_all(&[byte]).unwrap();
    }
    assert_eq!(answer(&stream), EMPTY);
    (&stream).write_all(b"get=1\n\nset=1\nlisten_port=8\n\nget=1\n\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest_of(&stream), format!("listen_port=7\n{EMPTY}{EMPTY}listen_port=8\n{EMPTY}"));
}

#[test]
fn an_error_ends_a_request_where_it_stands_and_not_the_connection() {
    let served = serve_fake(Patience::default());
    let stream = served.connect();
    for (request, answer) in [
        ("set=1\nlisten_port=5\nlisten_port=x\nlisten_port=6\n\n", "errno=-22\n\n"),
        ("set=1\nlisten_port\n\n", "errno=-71\n\n"),
        ("set=1\nlisten_port=1\nlisten_port=6\n\n", "errno=-98\n\n"),
        // What could not be applied stood before what could not be read.
        ("set=1\nlisten_port=1\nlisten_port=x\n\n", "errno=-98\n\n"),
        ("get=1\nlisten_port=6\n\n", "errno=-22\n\n"),
        ("get=1\n\n", "listen_port=5\nerrno=0\n\n"),
    ] {
        assert_eq!(ask(&stream, request), answer, "{request:?}");
    }
}

#[test]
fn what_is_no_request_is_answered_and_closed() {
    let served = serve_fake(Patience::default());
    for request in ["\n", "GET / HTTP/1.1\r\n\r\n", "get=2\n\n", "\0\0\0\0"] {
        let stream = served.connect();
        (&stream).write_all(request.as_bytes()).unwrap();
        assert_eq!(rest_of(&stream), "errno=-71\n\n", "{request:?}");
    }
    // Half a request is none.
    let stream = served.connect();
    (&stream).write_all(b"set=1\nlisten_port=9\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest_of(&stream), "");
    assert_eq!(ask(&served.connect(), "get=1\n\n"), EMPTY);
}

#[test]
fn a_request_of_130_000_ranges_and_its_report_go_through() {
    let served = serve_fake(Patience { request: LONG, ..Patience::default() });
    let stream = served.connect();
    let lines = "allowed_ip=10.255.255.255/32\n".repeat(130_000);
    assert_eq!(ask(&stream, &format!("set=1\npublic_key={KEY}\n{lines}\n")), EMPTY);
    let report = ask(&stream, "get=1\n\n");
    assert_eq!(report.matches("allowed_ip=10.0.0.0/8\n").count(), 130_000);
}

#[test]
fn one_long_request_at_a_time_and_the_next_gets_its_turn() {
    let served = serve_fake(Patience { request: LONG, ..Patience::default() });
    let long = format!("set=1\nlisten_port=3\n{}", "fwmark=1\n".repeat(2 * SMALL / 9));
    let (first, second) = (served.connect(), served.connect());
    (&first).write_all(long.as_bytes()).unwrap();
    // Whatever the second one does, short requests are served.
    let waiting = {
        let second = second.try_clone().unwrap();
        thread::spawn(move || (&second).write_all(long.as_bytes()))
    };
    served.works();
    assert!(!waiting.is_finished(), "more than what is small fits into no buffer before its turn");
    assert_eq!(ask(&first, "\n"), EMPTY);
    waiting.join().unwrap().unwrap();
    assert_eq!(ask(&second, "\n"), EMPTY);
    assert_eq!(ask(&second, "get=1\n\n"), format!("listen_port=3\n{EMPTY}"));
}

#[test]
fn a_slow_client_is_dropped_and_so_is_an_idle_one() {
    let served = serve_fake(short());
    let (idle, slow) = (served.connect(), served.connect());
    (&slow).write_all(b"set=1\n").unwrap();
    assert_eq!(rest_of(&idle), "");
    assert_eq!(rest_of(&slow), "");
    served.works();
}

#[test]
fn a_device_that_does_not_answer_is_an_input_output_error() {
    let served = serve_fake(Patience { answer: Duration::from_millis(50), ..Patience::default() });
    assert_eq!(ask(&served.connect(), "set=1\nlisten_port=2\n\n"), "errno=-5\n\n");
    served.works();
}

#[test]
fn no_more_clients_than_there_are_places() {
    let served = serve_fake(Patience::default());
    let mut held: Vec<UnixStream> = (0..CLIENTS).map(|_| served.connect()).collect();
    for stream in &held {
        assert_eq!(ask(stream, "get=1\n\n"), EMPTY);
    }
    assert_eq!(rest_of(&served.connect()), "");
    let last = held.pop().unwrap();
    last.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest_of(&last), "");
    // One thread serves: it gives the place back before it accepts again.
    served.works();
}

#[test]
fn the_socket_is_roots_alone_in_a_folder_for_all() {
    let served = serve_fake(Patience::default());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&served.path), 0o600);
    assert_eq!(mode(served.path.parent().unwrap()), 0o755);
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_an_error() {
    let served = serve_fake(Patience::default());
    let folder = served.path.parent().unwrap();
    let error = bind(folder, "wg0").unwrap_err().to_string();
    assert!(error.contains("another process answers on this socket"), "{error}");
    served.works();
    // A process that was killed leaves its file.
    bind(folder, "wg1").unwrap().hand_over();
    assert!(unix::connect(&folder.join("wg1.sock")).is_err());
    drop(bind(folder, "wg1").unwrap());
    assert!(!folder.join("wg1.sock").exists());
}

#[test]
fn the_end_of_its_file_is_told_while_connections_stay() {
    for replace in [false, true] {
        let served = serve_fake(Patience::default());
        let stream = served.connect();
        assert_eq!(ask(&stream, "get=1\n\n"), EMPTY);
        assert!(served.gone.try_recv().is_err());
        std::fs::remove_file(&served.path).unwrap();
        let successor = replace.then(|| bind(served.path.parent().unwrap(), "wg0").unwrap());
        served.gone.recv_timeout(LONG).unwrap();
        assert_eq!(ask(&stream, "get=1\n\n"), EMPTY);
        assert_eq!(successor.is_some(), served.path.exists(), "a successor's file is left alone");
    }
}
