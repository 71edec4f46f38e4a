//! A served socket in a scratch directory, honest clients and rude ones.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::json;

use super::*;
use crate::machine::poller::Poller;
use crate::machine::scratch::Scratch;
use crate::machine::unix;

const LONG: Duration = Duration::from_secs(10);

/// A control socket, and a thread in the reactor's place that answers every command with its own name.
struct Served {
    scratch: Scratch,
    path: PathBuf,
    stop: Waker,
    reactor: Option<JoinHandle<u64>>,
    server: Option<ControlServer>,
}

fn serve_echo(patience: Duration) -> Served {
    let scratch = Scratch::new();
    let path = scratch.file("control");
    let mut poller = Poller::new().unwrap();
    let stop = poller.waker();
    let mut server = serve_with(&path, poller.waker(), patience).unwrap();
    let (_, nothing) = sync_channel(1);
    let requests = std::mem::replace(&mut server.requests, nothing);
    let reactor = thread::spawn(move || {
        let mut answered = 0;
        loop {
            loop {
                match requests.try_recv() {
                    Ok(request) if request.command == "silence" => drop(request),
                    Ok(request) => {
                        answered += 1;
                        let answer = json!({ "did": request.command, "with": request.arguments });
                        let _ = request.reply.send(answer);
                    }
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return answered,
                }
            }
            poller.wait(Some(LONG)).unwrap();
        }
    });
    Served { scratch, path, stop, reactor: Some(reactor), server: Some(server) }
}

impl Served {
    fn connect(&self) -> UnixStream {
        let stream = unix::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream
    }

    fn works(&self) {
        let answer = ask(&self.path, &json!({ "command": "status" }), LONG).unwrap();
        assert_eq!(answer, json!({ "did": "status", "with": {} }));
    }

    /// Stops everything; says how many requests reached the reactor.
    fn stop(mut self) -> u64 {
        drop(self.server.take());
        self.stop.wake();
        assert!(!self.path.exists(), "the socket's file is gone");
        drop(self.scratch);
        self.reactor.take().unwrap().join().unwrap()
    }
}

/// What comes back until the server closes.
fn rest_of(mut stream: &UnixStream) -> String {
    let mut text = Vec::new();
    // A reset means the same as an end: the server closed with bytes of ours unread.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_socket_is_its_owners_alone_and_gone_after_the_stop() {
    let served = serve_echo(LONG);
    let mode = std::fs::metadata(&served.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    served.works();
    assert_eq!(served.stop(), 1);
}

#[test]
fn one_connection_may_ask_many_times_and_arguments_reach_the_reactor() {
    let served = serve_echo(LONG);
    let mut stream = served.connect();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for number in 0..100 {
        writeln!(stream, "{}", json!({ "command": "ping", "number": number })).unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer, json!({ "did": "ping", "with": { "number": number } }));
    }
    drop((stream, answers));
    assert_eq!(served.stop(), 100);
}

#[test]
fn a_node_that_does_not_run_is_said_with_how_to_start_it() {
    let scratch = Scratch::new();
    let path = scratch.file("control");
    let error = ask(&path, &json!({ "command": "status" }), LONG).unwrap_err();
    assert!(matches!(error, AskError::NotRunning { .. }), "{error:?}");
    assert!(error.to_string().contains("lockgate up"), "{error}");
    // A file that a killed node left behind is no node either.
    drop(UnixSocketFile::left_behind(&path));
    let error = ask(&path, &json!({ "command": "status" }), LONG).unwrap_err();
    assert!(matches!(error, AskError::NotRunning { .. }), "{error:?}");
}

struct UnixSocketFile;

impl UnixSocketFile {
    #[expect(clippy::disallowed_methods, reason = "a stale file is made as a killed process leaves it")]
    fn left_behind(path: &Path) -> std::os::unix::net::UnixListener {
        std::os::unix::net::UnixListener::bind(path).unwrap()
    }
}

#[test]
fn a_second_node_does_not_take_over_the_first_ones_socket() {
    let served = serve_echo(LONG);
    let poller = Poller::new().unwrap();
    let error = serve(&served.path, poller.waker()).unwrap_err().to_string();
    assert!(error.contains("another process answers") && error.contains("hint"), "{error}");
    served.works();
    served.stop();
}

#[test]
fn garbage_gets_an_error_and_reaches_nobody() {
    let served = serve_echo(LONG);
    let deep = "[".repeat(60_000);
    let table: [(&[u8], &str); 8] = [
        (b"\n", "one JSON object"),
        (b"status\n", "one JSON object"),
        (b"\xff\xfe\x00\n", "one JSON object"),
        (b"[1,2]\n", "one JSON object"),
        (b"{\"command\":\n", "one JSON object"),
        (b"{}\n", "has a \\\"command\\\""),
        (b"{\"command\":7}\n", "has a \\\"command\\\""),
        (deep.as_bytes(), ""),
    ];
    for (bytes, reason) in table {
        let mut stream = served.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = rest_of(&stream);
        assert!(answer.contains(reason), "{answer}");
        assert_eq!(answer.is_empty(), reason.is_empty(), "{answer}");
    }
    served.works();
    assert_eq!(served.stop(), 1);
}

#[test]
fn an_endless_request_is_cut_at_its_limit() {
    let served = serve_echo(LONG);
    let mut stream = served.connect();
    let chunk = vec![b'x'; REQUEST];
    // The server closes after 64 KiB; the socket's own buffers take a little more.
    let sent = (0..1000).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(sent < 20, "{sent} times 64 KiB were taken");
    let answer = rest_of(&stream);
    assert!(answer.is_empty() || answer.contains("at most 65536 bytes"), "{answer}");
    let mut stream = served.connect();
    stream.write_all(&chunk).unwrap();
    stream.write_all(b"x").unwrap();
    assert!(rest_of(&stream).contains("at most 65536 bytes"));
    served.works();
    assert_eq!(served.stop(), 1);
}

#[test]
fn a_crowd_is_turned_away_and_leaves_no_trace() {
    let served = serve_echo(LONG);
    let silent: Vec<UnixStream> = (0..CLIENTS).map(|_| served.connect()).collect();
    // The places are taken in order of arrival, so these come too late and see the end at once.
    for _ in 0..100 {
        assert_eq!(rest_of(&served.connect()), "");
    }
    let error = ask(&served.path, &json!({ "command": "status" }), LONG).unwrap_err();
    assert!(matches!(error, AskError::Broken { .. }), "{error:?}");
    drop(silent);
    // Their places are free as soon as the server has seen them leave.
    let back = (0..10_000).any(|_| ask(&served.path, &json!({ "command": "status" }), LONG).is_ok());
    assert!(back, "nobody is served any more");
    served.stop();
}

#[test]
fn a_silent_or_dripping_client_is_cut_after_its_time() {
    let served = serve_echo(Duration::from_millis(500));
    let silent = served.connect();
    let mut dripping = served.connect();
    dripping.write_all(b"{").unwrap();
    assert_eq!(rest_of(&silent), "");
    assert_eq!(rest_of(&dripping), "");
    served.works();
    served.stop();
}

#[test]
fn an_unanswered_command_is_an_error_and_not_a_hang() {
    let served = serve_echo(LONG);
    let error = ask(&served.path, &json!({ "command": "silence" }), LONG).unwrap_err();
    assert!(matches!(&error, AskError::Refused { reason } if reason.contains("did not answer")), "{error:?}");
    served.stop();
    // A reactor that never looks.
    let scratch = Scratch::new();
    let poller = Poller::new().unwrap();
    let path = scratch.file("control");
    let server = serve_with(&path, poller.waker(), Duration::from_millis(500)).unwrap();
    let error = ask(&path, &json!({ "command": "status" }), LONG).unwrap_err();
    assert!(matches!(&error, AskError::Refused { reason } if reason.contains("in time")), "{error:?}");
    let error = ask(&path, &json!({ "command": "status" }), Duration::from_millis(5)).unwrap_err();
    assert!(matches!(error, AskError::TimedOut { .. }), "{error:?}");
    drop(server);
}

#[test]
fn what_the_reactor_owns_may_be_made_on_another_thread() {
    use crate::machine::{apps, outbox, signals, udp};
    fn may_move<T: Send>() {}
    may_move::<Poller>();
    may_move::<Waker>();
    may_move::<udp::Udp>();
    may_move::<outbox::Batch>();
    may_move::<apps::Listener>();
    may_move::<apps::Stream>();
    may_move::<signals::Signals>();
    may_move::<ControlServer>();
}

/// The next line, however long it takes to come.
fn await_line(lines: &mut Lines) -> Next {
    let mut poller = Poller::new().unwrap();
    poller.register(&*lines, 0, crate::machine::poller::Interest::Read).unwrap();
    loop {
        match lines.read_line().unwrap() {
            Next::NotYet => drop(poller.wait(Some(LONG)).unwrap()),
            other => return other,
        }
    }
}

/// A served socket, a client that has asked for a stream, and the reactor's end of it.
fn streaming(scratch: &Scratch) -> (Poller, ControlServer, Lines, Feed) {
    streaming_with(scratch, PATIENCE)
}

fn streaming_with(scratch: &Scratch, patience: Duration) -> (Poller, ControlServer, Lines, Feed) {
    let (path, poller) = (scratch.file("control"), Poller::new().unwrap());
    let server = serve_with(&path, poller.waker(), patience).unwrap();
    let client = thread::spawn(move || follow(&path, &json!({ "command": "observe" }), LONG).unwrap());
    let request = server.requests.recv().unwrap();
    assert_eq!(request.command, "observe");
    request.reply.send(json!({ "observing": "beta" })).unwrap();
    let (answer, lines) = client.join().unwrap();
    assert_eq!(answer, json!({ "observing": "beta" }));
    (poller, server, lines, request.feed.unwrap())
}

#[test]
fn a_streamed_answer_goes_on_until_the_reactor_has_no_more() {
    let scratch = Scratch::new();
    let (_poller, _server, mut lines, feed) = streaming(&scratch);
    assert_eq!(lines.read_line().unwrap(), Next::NotYet);
    let long = "x".repeat(200_000);
    for number in 0..3 {
        let line = json!({ "number": number, "long": long });
        assert_eq!(feed.push(std::sync::Arc::new(line.clone()), 0), Fed::Taken);
        assert_eq!(await_line(&mut lines), Next::Line(line));
    }
    drop(feed);
    assert_eq!(await_line(&mut lines), Next::End);
}

#[test]
fn a_client_that_never_reads_loses_lines_and_stops_nobody() {
    let scratch = Scratch::new();
    let (_poller, server, mut lines, feed) = streaming(&scratch);
    let line: Line = std::sync::Arc::new(json!("x".repeat(10_000)));
    // The socket's buffers take some, the queue 4 MiB.
    let taken = (0..10_000).take_while(|_| feed.push(line.clone(), 10_000) == Fed::Taken).count();
    assert!((400..1_000).contains(&taken), "{taken}");
    let path = server.path().to_owned();
    let other = thread::spawn(move || ask(&path, &json!({ "command": "status" }), LONG).unwrap());
    server.requests.recv().unwrap().reply.send(json!({ "did": "status" })).unwrap();
    assert_eq!(other.join().unwrap(), json!({ "did": "status" }));
    drop(feed);
    let came = (0..).take_while(|_| await_line(&mut lines) != Next::End).count();
    assert_eq!(came, taken, "what was taken arrives");
}

#[test]
fn a_client_that_never_reads_loses_its_place_in_the_end() {
    let scratch = Scratch::new();
    let (mut poller, _server, mut lines, feed) = streaming_with(&scratch, Duration::from_millis(250));
    let line: Line = std::sync::Arc::new(json!("x".repeat(10_000)));
    // More than the socket's buffers take.
    assert!((0..400).all(|_| feed.push(line.clone(), 10_000) == Fed::Taken));
    while !feed.is_gone() {
        poller.wait(Some(LONG)).unwrap();
    }
    assert_eq!(feed.push(line, 10_000), Fed::Gone);
    while matches!(lines.read_line(), Ok(Next::Line(_))) {}
}

#[test]
fn a_streaming_client_that_leaves_is_seen_by_the_reactor() {
    let scratch = Scratch::new();
    let (mut poller, _server, lines, feed) = streaming(&scratch);
    assert!(!feed.is_gone());
    drop(lines);
    while !feed.is_gone() {
        poller.wait(Some(LONG)).unwrap();
    }
}

#[test]
fn a_stream_ends_with_the_node() {
    let scratch = Scratch::new();
    let (_poller, server, mut lines, feed) = streaming(&scratch);
    drop(server);
    assert_eq!(await_line(&mut lines), Next::End);
    assert!(feed.is_gone());
}

#[test]
fn other_commands_have_no_feed() {
    let scratch = Scratch::new();
    let (path, poller) = (scratch.file("control"), Poller::new().unwrap());
    let server = serve(&path, poller.waker()).unwrap();
    let client = thread::spawn(move || ask(&path, &json!({ "command": "status" }), LONG).unwrap());
    let request = server.requests.recv().unwrap();
    assert!(request.feed.is_none());
    request.reply.send(json!({})).unwrap();
    client.join().unwrap();
}
