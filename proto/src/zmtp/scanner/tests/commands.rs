//! Commands, subscriptions, and where a stream may be cut or end.

use super::*;

#[test]
fn both_forms_of_a_subscription_pass_as_the_command() {
    let canonical = [command(b"SUBSCRIBE", b"temp."), command(b"CANCEL", b"")].concat();
    let messages = [frame(false, b"\x01temp."), frame(false, b"\x01d"), frame(false, b"\x00")].concat();
    let commands =
        [command(b"SUBSCRIBE", b"temp."), command(b"SUBSCRIBE", b"d"), command(b"CANCEL", b"")].concat();
    let asked =
        [r#"Subscribe([116, 101, 109, 112, 46])"#, "Subscribe([100])", "Cancel([])"].map(String::from);
    for sender in [SocketType::Sub, SocketType::Xsub] {
        for version in [Version::V2_0, Version::V3_0, Version::V3_1] {
            let played = pass_all(version, sender, &messages);
            assert_eq!(played, (canonical.clone(), Ok(Scanned::All), asked.to_vec()), "{version:?}");
        }
        assert_eq!(pass_all(Version::V3_1, sender, &commands).0, canonical);
    }
    let (out, _, asked) = pass_all(Version::V3_0, SocketType::Push, &messages);
    assert_eq!(out, messages, "only a subscriber subscribes");
    assert!(asked[0].starts_with("message"));
}

#[test]
fn what_else_an_xsub_sends_is_a_message() {
    let stream =
        [frame(false, b"user"), frame(false, b""), frame(true, b"two"), frame(false, b"\x02")].concat();
    let (out, result, asked) = pass_all(Version::V3_1, SocketType::Xsub, &stream);
    assert_eq!((out, result), (stream, Ok(Scanned::All)));
    assert_eq!(asked, ["message use 4 false", "message  0 false", "message two 3 true", "part 4 2"]);
}

#[test]
fn commands_are_judged_one_by_one_and_a_heartbeat_may_fall_between_parts() {
    let ping = command(b"PING", b"\0\x01ctx");
    let stream = [
        frame(true, b"a"),
        ping.clone(),
        frame(false, b"b"),
        command(b"JOIN", b"x"),
        frame(true, b"drop"),
        ping,
        frame(false, b"d"),
        command(b"PONG", b"ctx"),
        command(b"ERROR", b"\x02no"),
        frame(false, b"never read"),
    ];
    let expected = [&stream[0][..], b"<pong>", &stream[2], b"<pong>", &stream[7]].concat();
    let (out, result, asked) = pass_all(Version::V3_1, SocketType::Dealer, &stream.concat());
    assert_eq!((out, result), (expected, Ok(Scanned::Closed)));
    assert_eq!(asked.len(), 8, "{asked:?}");
    assert!(asked.contains(&format!("{:?}", Command::Unknown { name: b"JOIN" })));
}

#[test]
fn a_boundary_is_where_what_was_emitted_is_whole() {
    let mut scanner = scanner(Version::V3_1, SocketType::Pub);
    for (bytes, boundary) in [
        (&b"\x01"[..], true),
        (b"\x05", true),
        (b"abc", false),
        (b"de", false),
        (b"\x00", false),
        (b"\x01z", true),
        (b"\x01\x05dro", true),
        (b"p!", true),
        (b"\x00\x01d", true),
        (b"\x00\x00", true),
    ] {
        let scanned = scanner.scan(Bytes::from_static(bytes), &mut Clerk::default(), &mut |_| ());
        assert_eq!(scanned, Ok(Scanned::All));
        assert_eq!(scanner.at_boundary(), boundary, "after {}", bytes.escape_ascii());
    }
}

#[test]
fn a_close_and_a_fault_are_final() {
    for (stream, end) in [(frame(false, b"close"), Ok(Scanned::Closed)), (vec![0xFF], Err(Fault::Flags))] {
        let mut scanner = scanner(Version::V3_1, SocketType::Push);
        let mut emit = |_: Bytes| panic!("nothing passes");
        assert_eq!(scanner.scan(stream.into(), &mut Clerk::default(), &mut emit), end);
        let again = scanner.scan(frame(false, b"x").into(), &mut Clerk::default(), &mut emit);
        assert_eq!(again, end);
    }
    let judge = Clerk { closes: true, ..Clerk::default() };
    let stream = [frame(true, b"a"), frame(false, b"b")].concat();
    let played = play(scanner(Version::V3_1, SocketType::Push), judge, &stream, &[]);
    assert_eq!((played.0, played.1), (stream[..3].to_vec(), Ok(Scanned::Closed)));
}
