//! Real sockets on the loopback and in a scratch directory.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::super::poller::{Interest, Poller};
use super::super::scratch::Scratch;
use super::*;

const LONG: Option<Duration> = Some(Duration::from_secs(10));
const SERVER: u64 = 1;
const CLIENT: u64 = 2;

fn any_port() -> Endpoint {
    "tcp://127.0.0.1:0".parse().unwrap()
}

fn accept(listener: &Listener, poller: &mut Poller) -> Stream {
    loop {
        match listener.accept() {
            AcceptOutcome::Stream(stream) => return stream,
            AcceptOutcome::Empty => {
                assert!(!poller.wait(LONG).unwrap().is_empty(), "nobody connects");
            }
            AcceptOutcome::Exhausted => panic!("out of descriptors"),
        }
    }
}

/// A listener on `endpoint` and both ends of one connection to it: accepted, dialled.
fn connect(endpoint: &Endpoint) -> (Listener, Stream, Stream) {
    let listener = Listener::bind(endpoint).unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(&listener, SERVER).unwrap();
    let dialled = Stream::dial(listener.endpoint()).unwrap();
    let accepted = accept(&listener, &mut poller);
    poller.add(&dialled, CLIENT).unwrap();
    while dialled.finish_connect().is_err() {
        assert!(!poller.wait(LONG).unwrap().is_empty());
    }
    (listener, accepted, dialled)
}

fn poll_both(accepted: &Stream, dialled: &Stream) -> Poller {
    let poller = Poller::new().unwrap();
    poller.add(accepted, SERVER).unwrap();
    poller.add(dialled, CLIENT).unwrap();
    poller
}

fn every_kind(scratch: &Scratch) -> [Endpoint; 3] {
    let abstract_name = format!("ipc://@lockgate-test-{}", std::process::id());
    [any_port(), Endpoint::Ipc(scratch.file("app")), abstract_name.parse().unwrap()]
}

#[test]
fn bytes_cross_whole_while_the_reader_is_slow_and_end_with_an_eof() {
    let scratch = Scratch::new();
    for endpoint in every_kind(&scratch) {
        let (_listener, mut reader, mut writer) = connect(&endpoint);
        let mut poller = poll_both(&reader, &writer);
        let sent: Bytes = (0..8_000_000_u32).map(|index| (index / 7) as u8).collect::<Vec<_>>().into();
        let (mut offset, mut full, mut ended) = (0, 0, false);
        let (mut received, mut buffer) = (BytesMut::new(), BytesMut::new());
        while !ended {
            while offset < sent.len() {
                // Odd pieces, more of them than one call takes.
                let pieces: Vec<Bytes> =
                    sent.slice(offset..).chunks(4099).take(70).map(Bytes::copy_from_slice).collect();
                match writer.write(&pieces).unwrap() {
                    0 => {
                        full += 1;
                        break;
                    }
                    written => offset += written,
                }
            }
            if offset == sent.len() {
                writer.shutdown_write().unwrap_or_default();
            }
            loop {
                match reader.read_into(&mut buffer, 128 << 10) {
                    ReadOutcome::Data(count) => {
                        assert!(count == buffer.len() && count <= 128 << 10);
                        received.extend_from_slice(&buffer.split());
                    }
                    ReadOutcome::Empty => break,
                    ReadOutcome::Eof => break ended = true,
                    ReadOutcome::Error(error) => panic!("{endpoint}: {error}"),
                }
            }
            if !ended {
                assert!(!poller.wait(LONG).unwrap().is_empty(), "{endpoint}: stalled at {}", received.len());
            }
        }
        assert!(received == sent, "{endpoint}");
        assert!(full > 0, "{endpoint}: the socket was never full");
    }
}

#[test]
fn a_full_ipc_socket_tells_its_room_once_it_is_asked_for() {
    let scratch = Scratch::new();
    let (_listener, mut reader, mut writer) = connect(&Endpoint::Ipc(scratch.file("app")));
    let mut poller = Poller::new().unwrap();
    poller.register(&writer, CLIENT, writer.interest()).unwrap();
    let piece = [Bytes::from(vec![1; 4096])];
    let mut written = 0;
    loop {
        match writer.write(&piece).unwrap() {
            0 => break,
            some => written += some,
        }
    }
    poller.set_interest(&writer, CLIENT, Interest::Both).unwrap();
    assert!(poller.wait(Some(Duration::ZERO)).unwrap().is_empty(), "it is full");
    let mut buffer = BytesMut::new();
    while buffer.len() < written {
        assert!(matches!(reader.read_into(&mut buffer, 64 << 10), ReadOutcome::Data(_)));
    }
    assert!(poller.wait(LONG).unwrap()[0].writable);
    assert_eq!(writer.write(&piece).unwrap(), 4096);
}

#[test]
fn a_small_read_reserves_one_buffer_and_not_one_per_read() {
    let (_listener, mut reader, mut writer) = connect(&any_port());
    let mut poller = poll_both(&reader, &writer);
    let mut buffer = BytesMut::new();
    let mut capacity = None;
    for _ in 0..50 {
        assert_eq!(writer.write(&[Bytes::from_static(b"0123456789")]).unwrap(), 10);
        while !matches!(reader.read_into(&mut buffer, 64 << 10), ReadOutcome::Data(10)) {
            poller.wait(LONG).unwrap();
        }
        assert_eq!(*capacity.get_or_insert(buffer.capacity()), buffer.capacity());
    }
    assert_eq!(buffer.len(), 500);
    assert!(buffer.capacity() <= 2 * (64 << 10), "{}", buffer.capacity());
}

#[test]
fn an_abort_is_a_reset_at_the_other_end_and_writing_to_it_is_an_error_not_a_signal() {
    let (_listener, mut accepted, dialled) = connect(&any_port());
    let mut poller = Poller::new().unwrap();
    poller.add(&accepted, SERVER).unwrap();
    dialled.abort();
    let mut buffer = BytesMut::new();
    let error = loop {
        match accepted.read_into(&mut buffer, 100) {
            ReadOutcome::Empty => assert!(!poller.wait(LONG).unwrap().is_empty()),
            ReadOutcome::Error(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(accepted.write(&[Bytes::from_static(b"x")]).is_err());
}

#[test]
fn a_refused_dial_says_so() {
    let free = Listener::bind(&any_port()).unwrap().endpoint().clone();
    let outcome = Stream::dial(&free).and_then(|dialled| {
        let mut poller = Poller::new()?;
        poller.add(&dialled, CLIENT)?;
        loop {
            match dialled.finish_connect() {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    assert!(!poller.wait(LONG)?.is_empty());
                }
                other => return other,
            }
        }
    });
    assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    let scratch = Scratch::new();
    let nobody = Stream::dial(&Endpoint::Ipc(scratch.file("nobody"))).unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn an_endpoint_in_use_is_named_with_its_mend() {
    let scratch = Scratch::new();
    for endpoint in every_kind(&scratch) {
        let held = Listener::bind(&endpoint).unwrap();
        let error = Listener::bind(held.endpoint()).unwrap_err().to_string();
        assert!(error.contains(&held.endpoint().to_string()) && error.contains("hint"), "{error}");
    }
}

#[test]
fn an_ipc_file_is_for_owner_and_group_and_its_client_is_known() {
    let scratch = Scratch::new();
    let path = scratch.file("app");
    let (listener, accepted, dialled) = connect(&Endpoint::Ipc(path.clone()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let me =
        Origin::Ipc { uid: rustix::process::getuid().as_raw(), pid: rustix::process::getpid().as_raw_pid() };
    assert_eq!((accepted.origin(), dialled.origin()), (me, me));
    drop(listener);
    assert!(!path.exists());
}

/// Runs alone in a process of its own, since the limit is the whole process's.
#[test]
#[ignore = "run by running_out_of_descriptors_is_told_and_survived, in a process of its own"]
fn out_of_descriptors_alone() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let listener = Listener::bind(&any_port()).unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(&listener, SERVER).unwrap();
    let _dialled = Stream::dial(listener.endpoint()).unwrap();
    assert!(!poller.wait(LONG).unwrap().is_empty());
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).unwrap();
    let first = listener.accept();
    let second = listener.accept();
    setrlimit(Resource::Nofile, before).unwrap();
    assert!(matches!(first, AcceptOutcome::Exhausted), "{first:?}");
    assert!(matches!(second, AcceptOutcome::Exhausted), "{second:?}");
    let third = listener.accept();
    assert!(matches!(third, AcceptOutcome::Stream(_)), "the client waited: {third:?}");
    println!("survived");
}

#[test]
fn running_out_of_descriptors_is_told_and_survived() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "machine::apps::tests::out_of_descriptors_alone", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("survived"), "{text}");
}
