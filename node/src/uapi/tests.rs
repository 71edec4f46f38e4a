//! Requests as clients write them: tables of every key and every error, one request of 130,000 ranges, and damage.

use std::fmt::Write;

use super::*;

const KEY: &str = "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4";
const OTHER: &str = "E5210F12786811D3F4B7959D0538AE2C31DBE7106FC03C3EFC4CD549C715A493";
const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The changes of `set=1` and these lines, keys as the first digits of their secret, and the flaw's number and line.
fn set(lines: &str) -> (String, Option<(i32, usize)>) {
    let text = format!("set=1\n{lines}\n");
    let parsed = parse(text.as_bytes()).expect("a set");
    let Request::Set(changes) = parsed.request else { panic!("{lines:?} is a set") };
    let changes: Vec<String> = changes.iter().map(shown).collect();
    (changes.join(", "), parsed.flaw.map(|flaw| (flaw.errno.number(), flaw.line)))
}

fn shown(change: &Change) -> String {
    match change {
        Change::PrivateKey(key) => {
            format!("private {:?}", key.as_ref().map(|key| hex(|text| key.push_hex(text))))
        }
        Change::Peer(peer) => {
            let edits: Vec<String> = peer.edits.iter().map(shown_edit).collect();
            format!(
                "{} {:?} [{}]",
                hex(|text| peer.public_key.push_hex(text)),
                peer.presence,
                edits.join(", ")
            )
        }
        plain => format!("{plain:?}"),
    }
}

fn shown_edit(edit: &Edit) -> String {
    match edit {
        Edit::PresharedKey(key) => {
            format!("shared {:?}", key.as_ref().map(|key| hex(|text| key.push_hex(text))))
        }
        Edit::Allow(range) => format!("+{range}"),
        Edit::Disallow(range) => format!("-{range}"),
        plain => format!("{plain:?}"),
    }
}

fn hex(push: impl FnOnce(&mut String)) -> String {
    let mut text = String::new();
    push(&mut text);
    text.truncate(4);
    text
}

#[test]
fn every_key_of_the_device_is_read() {
    for (line, change) in [
        (format!("private_key={KEY}"), "private Some(\"a046\")"),
        (format!("private_key={OTHER}"), "private Some(\"e021\")"),
        (format!("private_key={ZERO}"), "private None"),
        ("listen_port=0".into(), "ListenPort(0)"),
        ("listen_port=51820".into(), "ListenPort(51820)"),
        ("listen_port=65535".into(), "ListenPort(65535)"),
        ("fwmark=0".into(), "Fwmark(0)"),
        ("fwmark=4294967295".into(), "Fwmark(4294967295)"),
        ("replace_peers=true".into(), "ReplacePeers"),
        ("fwmark=1\nfwmark=2".into(), "Fwmark(1), Fwmark(2)"),
    ] {
        assert_eq!(set(&format!("{line}\n")), (change.into(), None), "{line}");
    }
    assert_eq!(set(""), (String::new(), None));
}

#[test]
fn every_key_of_a_peer_is_read() {
    for (line, presence_and_edits) in [
        (String::new(), "Wanted []"),
        ("remove=true\n".into(), "Removed []"),
        ("update_only=true\n".into(), "UpdateOnly []"),
        ("update_only=true\nremove=true\n".into(), "Removed []"),
        ("remove=true\nupdate_only=true\n".into(), "Removed []"),
        ("allowed_ip=10.0.0.0/8\nremove=true\nallowed_ip=10.0.0.0/8\n".into(), "Removed []"),
        ("protocol_version=1\n".into(), "Wanted []"),
        (format!("preshared_key={KEY}\n"), "Wanted [shared Some(\"a546\")]"),
        (format!("preshared_key={ZERO}\n"), "Wanted [shared None]"),
        ("endpoint=192.0.2.1:51820\n".into(), "Wanted [Endpoint(192.0.2.1:51820)]"),
        ("endpoint=[2001:db8::1]:1\n".into(), "Wanted [Endpoint([2001:db8::1]:1)]"),
        ("endpoint=[::ffff:192.0.2.1]:1\n".into(), "Wanted [Endpoint(192.0.2.1:1)]"),
        ("persistent_keepalive_interval=0\n".into(), "Wanted [Keepalive(0)]"),
        ("persistent_keepalive_interval=65535\n".into(), "Wanted [Keepalive(65535)]"),
        (
            "allowed_ip=::1/128\nreplace_allowed_ips=true\nallowed_ip=10.1.2.3/8\nallowed_ip=-10.0.0.0/8\n"
                .into(),
            "Wanted [+::1, ReplaceAllowedIps, +10.0.0.0/8, -10.0.0.0/8]",
        ),
    ] {
        let expected = format!("a546 {presence_and_edits}");
        assert_eq!(set(&format!("public_key={KEY}\n{line}")), (expected, None), "{line}");
    }
    let two =
        format!("public_key={KEY}\nremove=true\npublic_key={OTHER}\npublic_key={KEY}\nupdate_only=true\n");
    assert_eq!(set(&two), ("a546 Removed [], e521 Wanted [], a546 UpdateOnly []".into(), None));
}

#[test]
fn what_is_wrong_with_the_device_is_refused_with_its_number_and_line() {
    const INVALID: i32 = -22;
    const PROTOCOL: i32 = -71;
    for (line, errno) in [
        ("private_key=", INVALID),
        (&format!("private_key={}", &KEY[1..]), INVALID),
        (&format!("private_key={KEY}0"), INVALID),
        (&format!("private_key= {KEY}"), INVALID),
        (&format!("private_key={KEY}\r"), INVALID),
        ("listen_port=", INVALID),
        ("listen_port=65536", INVALID),
        ("listen_port=+1", INVALID),
        ("listen_port=-1", INVALID),
        ("listen_port=0x10", INVALID),
        ("listen_port=1=1", INVALID),
        ("fwmark=off", INVALID),
        ("fwmark=0x1", INVALID),
        ("fwmark=4294967296", INVALID),
        ("replace_peers=false", INVALID),
        ("replace_peers=", INVALID),
        // Misplaced: there is no peer yet.
        ("remove=true", INVALID),
        ("allowed_ip=10.0.0.0/8", INVALID),
        ("preshared_key=", INVALID),
        ("protocol_version=1", INVALID),
        ("public_key=", INVALID),
        (&format!("public_key={}", &KEY[1..]), INVALID),
        (" fwmark=1", INVALID),
        ("fwmark =1", INVALID),
        ("FWMARK=1", INVALID),
        ("=", INVALID),
        ("=1", INVALID),
        ("unknown=1", INVALID),
        ("set=1", INVALID),
        ("get=1", INVALID),
        ("errno=0", INVALID),
        ("fwmark", PROTOCOL),
        (" ", PROTOCOL),
        ("\r", PROTOCOL),
        ("\0", PROTOCOL),
    ] {
        let lines = format!("fwmark=7\n{line}\nfwmark=8\n");
        assert_eq!(set(&lines), ("Fwmark(7)".into(), Some((errno, 3))), "{line:?}");
    }
}

#[test]
fn what_is_wrong_with_a_peer_is_refused_and_what_stood_before_it_stays() {
    for line in [
        "remove=",
        "remove=1",
        "update_only=false",
        "protocol_version=0",
        "protocol_version=2",
        "protocol_version=",
        &format!("preshared_key={}", &KEY[1..]),
        "endpoint=",
        "endpoint=192.0.2.1",
        "endpoint=192.0.2.1:",
        "endpoint=192.0.2.1:65536",
        "endpoint=192.0.2.1:+1",
        "endpoint=2001:db8::1:51820",
        "endpoint=[2001:db8::1]",
        "endpoint=[fe80::1%no such one]:51820",
        "endpoint=[fe80::1%-1]:51820",
        "endpoint=[fe80::1%]:51820",
        "endpoint=[fe80::1%4294967296]:51820",
        "endpoint=[192.0.2.1%lo]:51820",
        "endpoint=fe80::1%2:51820",
        "endpoint=example.org:51820",
        "endpoint=192.0.2.1:51820 ",
        "persistent_keepalive_interval=65536",
        "persistent_keepalive_interval=off",
        "persistent_keepalive_interval=",
        "replace_allowed_ips=false",
        "allowed_ip=",
        "allowed_ip=-",
        "allowed_ip=--10.0.0.0/8",
        "allowed_ip=+10.0.0.0/8",
        "allowed_ip=10.0.0.1",
        "allowed_ip=::1",
        "allowed_ip=10.0.0.0/33",
        "allowed_ip=10.0.0.0/8,10.1.0.0/16",
        // Misplaced: the device is over.
        "fwmark=1",
        "listen_port=1",
        "replace_peers=true",
        &format!("private_key={KEY}"),
        "unknown=1",
        "",
    ] {
        // An empty line ends the request; a line without '=' is no line.
        let (line, errno) = if line.is_empty() { ("remove", -71) } else { (line, -22) };
        let lines = format!("public_key={KEY}\nallowed_ip=10.0.0.0/8\n{line}\npublic_key={OTHER}\n");
        assert_eq!(set(&lines), ("a546 Wanted [+10.0.0.0/8]".into(), Some((errno, 4))), "{line:?}");
    }
}

#[test]
fn what_follows_a_removal_is_checked_all_the_same() {
    let lines = format!("public_key={KEY}\nremove=true\nallowed_ip=nonsense\n");
    assert_eq!(set(&lines), ("a546 Removed []".into(), Some((-22, 4))));
}

#[test]
fn a_line_has_its_limit() {
    let line = |length: usize| format!("fwmark={}", "0".repeat(length - 7));
    assert_eq!(set(&format!("{}\n", line(LINE))), ("Fwmark(0)".into(), None));
    assert_eq!(set(&format!("fwmark=1\n{}\n", line(LINE + 1))), ("Fwmark(1)".into(), Some((-5, 3))));
}

#[test]
fn what_is_no_request_is_refused_whole() {
    for (text, errno, line) in [
        ("", -71, 1),
        ("\n", -71, 1),
        ("get", -71, 1),
        ("get=1", -71, 1),
        ("get=2\n\n", -71, 1),
        ("set=0\n\n", -71, 1),
        ("set=1\r\n\r\n", -71, 1),
        ("fwmark=1\n\n", -71, 1),
        ("get=1\n", -71, 2),
        ("get=1\nfwmark=1\n\n", -22, 2),
    ] {
        let flaw = parse(text.as_bytes()).expect_err(text);
        assert_eq!((flaw.errno.number(), flaw.line), (errno, line), "{text:?}");
    }
    // Cut off: what stood before takes effect, as with every other flaw.
    let cut = parse(b"set=1\nfwmark=1\nlisten_port=51").unwrap();
    assert_eq!(cut.flaw.map(|flaw| (flaw.errno, flaw.line)), Some((Errno::Protocol, 3)));
    assert!(matches!(cut.request, Request::Set(changes) if changes.len() == 1));
    assert!(matches!(parse(b"get=1\n\nset=1\n\n").unwrap(), Parsed { request: Request::Get, flaw: None }));
}

#[test]
fn no_flaw_and_no_change_repeats_a_secret() {
    let text = format!("set=1\nprivate_key={KEY}\nprivate_key={KEY}x\n\n");
    let parsed = parse(text.as_bytes()).unwrap();
    let said = format!("{parsed:?} {}", parsed.flaw.unwrap());
    assert!(!said.contains(&KEY[..8]) && !said.contains("165, 70"), "{said}");
    assert!(said.contains("line 3: private_key is 64 hexadecimal digits"), "{said}");
}

#[test]
fn a_set_of_130_000_ranges_is_read_in_one_go() {
    const RANGES: u32 = 130_000;
    let mut text = format!("set=1\nreplace_peers=true\npublic_key={KEY}\nreplace_allowed_ips=true\n");
    for at in 0..RANGES {
        writeln!(text, "allowed_ip={}/128", std::net::Ipv6Addr::from_bits(u128::from(at) << 64 | 1)).unwrap();
    }
    text.push('\n');
    assert!(text.len() < REQUEST / 8);
    let parsed = parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.flaw, None);
    let Request::Set(changes) = parsed.request else { panic!("a set") };
    let [Change::ReplacePeers, Change::Peer(peer)] = &changes[..] else { panic!("two changes") };
    assert_eq!(peer.edits.len(), 1 + usize::try_from(RANGES).unwrap());
    let last = Prefix::masked(std::net::Ipv6Addr::from_bits(u128::from(RANGES - 1) << 64 | 1).into(), 128);
    assert!(matches!(peer.edits.last(), Some(Edit::Allow(range)) if Some(*range) == last));
}

#[test]
fn a_request_grows_by_a_known_factor_in_memory() {
    // The shortest lines that make one: `fwmark=1` and `allowed_ip=::/0`. A list has up to twice the room it needs.
    assert!(size_of::<Change>() <= 8 * "fwmark=1\n".len());
    assert!(size_of::<Edit>() <= 3 * "allowed_ip=::/0\n".len());
}

#[test]
fn a_report_can_be_set_again() {
    let mut peer = PeerReport::new(PublicKey::from_hex(OTHER).unwrap());
    peer.preshared_key = Some(PresharedKey::from_hex(KEY).unwrap());
    peer.endpoint = Some("[2001:db8::1]:51820".parse().unwrap());
    peer.keepalive = 25;
    peer.allowed_ips = ["10.0.0.0/8", "2001:db8::/32"].map(|range| allowed_ip::parse(range).unwrap()).into();
    let report = Report {
        private_key: Some(PrivateKey::from_hex(KEY).unwrap().clamped()),
        listen_port: 51820,
        fwmark: 51,
        peers: vec![peer],
    };
    let text = report.to_text();
    // What is only told cannot be set.
    let settable: String = text
        .lines()
        .filter(|line| !["last_", "tx_", "rx_", "errno"].iter().any(|key| line.starts_with(key)))
        .flat_map(|line| [line, "\n"])
        .collect();
    let settable = settable.trim_end_matches('\n');
    let expected = "private Some(\"a046\"), ListenPort(51820), Fwmark(51), e521 Wanted [shared Some(\"a546\"), \
        Endpoint([2001:db8::1]:51820), Keepalive(25), +10.0.0.0/8, +2001:db8::/32]";
    assert_eq!(set(&format!("{settable}\n")), (expected.into(), None));
}

#[test]
fn no_damage_to_a_request_is_a_panic_and_none_hides_a_line() {
    let whole = format!(
        "set=1\nprivate_key={KEY}\nlisten_port=51820\nfwmark=51\nreplace_peers=true\npublic_key={OTHER}\nupdate_only=true\n\
         preshared_key={KEY}\nendpoint=[2001:db8::1]:51820\npersistent_keepalive_interval=25\n\
         replace_allowed_ips=true\nallowed_ip=10.0.0.0/8\nallowed_ip=-2001:db8::/32\nprotocol_version=1\n\n"
    )
    .into_bytes();
    // A linear congruential generator: the same damage each time.
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let (mut fine, mut flawed, mut refused) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                1 => bytes[at] = b"\n=-/:[]%0"[random(9)],
                2 => drop(bytes.drain(at..(at + random(40)).min(bytes.len()))),
                _ => bytes.truncate(at.max(1)),
            }
            bytes.extend((bytes.is_empty()).then_some(b'\n'));
        }
        let frame = framing::Framing::default().look(&bytes);
        match parse(&bytes) {
            Ok(Parsed { flaw: None, .. }) => {
                fine += 1;
                assert!(matches!(frame, framing::Frame::Whole(_)), "{bytes:?}");
            }
            Ok(_) => flawed += 1,
            Err(_) => {
                refused += 1;
                assert!(!bytes.starts_with(b"set=1\n"), "{bytes:?}");
            }
        }
    }
    assert!(fine > 100 && flawed > 1000 && refused > 100, "{fine} {flawed} {refused}");
}

#[test]
fn an_endpoint_that_a_report_prints_with_its_zone_can_be_set() {
    let taken = |value: &str| {
        let text = format!("set=1\npublic_key={KEY}\nendpoint={value}\n\n");
        let parsed = parse(text.as_bytes()).unwrap();
        let (None, Request::Set(changes)) = (parsed.flaw, parsed.request) else { panic!("refused: {value}") };
        let Change::Peer(peer) = &changes[0] else { panic!("a peer") };
        let Edit::Endpoint(endpoint) = peer.edits[0] else { panic!("an endpoint") };
        endpoint
    };
    let expected: SocketAddr = "[fe80::1%7]:5555".parse().unwrap();
    assert_eq!(taken("[fe80::1%7]:5555"), expected);
    assert_eq!(taken(&expected.to_string()), expected);
    assert_eq!(
        taken("[fe80::1%lo]:5555"),
        "[fe80::1%1]:5555".parse().unwrap(),
        "the loopback is interface 1"
    );
    assert_eq!(taken("[::ffff:192.0.2.1]:5555"), "192.0.2.1:5555".parse().unwrap());
}
