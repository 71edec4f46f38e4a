//! Every mistake that an operator can make in either file: each is told with file, line, key and the mend.

#[path = "mistakes/loading.rs"]
mod loading;

use std::path::{Path, PathBuf};

use lockgate::config::{Config, Endpoint, Place, check};
use lockgate_proto::document::Mistake;
use lockgate_proto::policy::Policy;

const CONFIG: &str = r#"[node]
name = "edge-north"
key = "north.key"
address = ["10.77.0.11"]
listen = "127.0.0.1:51820"
policy = "policy.toml"
spin = "50us"
[[peer]]
name = "edge-south"
public_key = "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
endpoint = "198.51.100.7:51820"
addresses = ["10.77.0.12"]
keepalive = "25s"
[[peer]]
name = "edge-west"
public_key = "CgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
addresses = ["10.77.1.0/24"]
[[offer]]
service = "telemetry"
connect = "tcp://127.0.0.1:5556"
[[use]]
service = "jobs"
listen = "tcp://127.0.0.1:5558"
from = ["edge-south"]
[[use]]
service = "alarms"
listen = "ipc://alarms.sock"
"#;

const POLICY: &str = r#"default = "deny"
[tags]
role = ["sensor-gw", "historian", "hmi"]
[nodes]
edge-north = { role = "sensor-gw" }
edge-south = { role = "historian" }
edge-west = { role = "hmi" }
edge-east = { role = "hmi" }
[service.telemetry]
hosted-by = "role=sensor-gw"
socket = "pub"
[service.jobs]
hosted-by = "role=historian"
socket = "pull"
[service.alarms]
hosted-by = "role=hmi"
socket = "pub"
[[allow]]
id = "readings"
from = "role=historian"
to = "telemetry"
[[allow]]
id = "work"
from = "role=sensor-gw"
to = "jobs"
[[allow]]
id = "alarms-to-gateways"
from = "role=sensor-gw"
to = "alarms"
"#;

/// Key text for tests, 32 times the byte 1: it protects nothing.
const PRIVATE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// The public half of [`PRIVATE`].
const OWN_PUBLIC: &str = "pOCSkrZRwni5dyxWn1+puxPZBrRqtoyd+dwrRAn4ogk=";

/// A line of [`CONFIG`], what stands there instead, then the key, words of the problem and of the mend.
#[rustfmt::skip]
const IN_CONFIG: [(usize, &str, &str, &str, &str); 67] = [
    (2, "", "node.name", "missing", "name = \"edge-north\""),
    (2, "name = \"edge north\"", "node.name", "cannot name a node", "letters"),
    (2, "name = 7", "node.name", "text in quotes is wanted", "text in quotes"),
    (2, "name = \"edge-north\"\nnaem = 1", "node.naem", "unknown key", "`name`"),
    (2, "name = \"edge-north\"\nname = \"b\"", "name", "given twice", "keep one"),
    (3, "", "node.key", "missing", "keygen"),
    (3, "key = \"\"", "node.key", "no path", "path of a file"),
    (3, "key = \"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"", "node.key", "a key itself", "chmod 600"),
    (4, "", "node.address", "missing", "address = [\"10.77.0.11\"]"),
    (4, "address = \"10.77.0.11\"", "node.address", "a list of texts", "[\"one\", \"two\"]"),
    (4, "address = []", "node.address", "no valid address", "10.77.0.11"),
    (4, "address = [\"10.77.0\"]", "node.address", "not an IP address", "10.77.0.11"),
    (4, "address = [\"10.77.0.11\", \"10.77.0.11\"]", "node.address", "listed twice", "keep one"),
    (5, "", "node.listen", "missing", "0.0.0.0:51820"),
    (5, "listen = \"51820\"", "node.listen", "not an IP address and a port", "0.0.0.0:51820"),
    (6, "policy = 1", "node.policy", "text in quotes", "text in quotes"),
    (7, "spin = \"50\"", "node.spin", "not a time", "50us"),
    (7, "control = \"/run/a-folder-whose-name-is-so-long-that-no-socket-can-ever-be-bound-in-it-because-the-system-has-only-108-bytes-for-it/control.sock\"", "node.control", "at most 107 bytes", "shorter"),
    (7, "spin = \"5s\"", "node.spin", "burn a processor", "0us"),
    (7, "[tun]\nname = \"a tunnel\"", "tun.name", "cannot name an interface", "lockgate0"),
    (7, "[tun]\nmtu = 576", "tun.mtu", "no tunnel has this MTU", "1420 crosses"),
    (7, "[tun]\nmtu = 65476", "tun.mtu", "no tunnel has this MTU", "1280 to 65475"),
    (7, "[tun]\nmtu = \"1420\"", "tun.mtu", "a number is wanted", "write a number"),
    (7, "[tun]\nnetworks = [\"10.88.0.1/16\"]", "tun.networks", "bits set behind its prefix", "10.88.0.0/16"),
    (7, "[tun]\nnetworks = [\"lan\"]", "tun.networks", "is not an address or a prefix", "10.77.0.0/24"),
    (7, "[tun]\nnetworks = [\"10.77.1.0/24\"]", "tun.networks", "10.77.1.0/24 is the peer edge-west's", "keep it"),
    (7, "[tun]\naddress = \"10.0.0.1\"", "tun.address", "unknown key", "known keys are"),
    (7, "spin = \"50us\"\n[nodes]\n", "nodes", "unknown key", "`node`"),
    (9, "", "peer.name", "missing", "edge-south"),
    (9, "name = \"edge-north\"", "peer.name", "this node itself", "remove"),
    (9, "name = \"edge-south\"\nprefixes = []", "peer.prefixes", "unknown key", "known keys are"),
    (10, "", "peer.public_key", "missing", "lockgate pubkey"),
    (10, "public_key = \"CQAA\"", "peer.public_key", "no key", "lockgate pubkey"),
    (10, "public_key = \"!QAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"", "peer.public_key", "no key", "pubkey"),
    (11, "endpoint = \"south.example.net:51820\"", "peer.endpoint", "not an IP address", "198.51.100.7:51820"),
    (11, "endpoint = \"0.0.0.0:51820\"", "peer.endpoint", "nobody can be called", "leave it out"),
    (12, "", "peer.addresses", "missing", "10.77.0.12"),
    (12, "addresses = []", "peer.addresses", "no valid address", "10.77.0.12"),
    (12, "addresses = [\"10.77.0.12/40\"]", "peer.addresses", "not an address", "10.77.0.0/24"),
    (12, "addresses = [\"10.77.0.12/24\"]", "peer.addresses", "behind its prefix", "10.77.0.0/24"),
    (12, "addresses = [\"10.77.0.11\"]", "peer.addresses", "this node itself", "its own"),
    (13, "keepalive = 25", "peer.keepalive", "text in quotes", "text in quotes"),
    (13, "keepalive = \"500ms\"", "peer.keepalive", "out of range", "1s"),
    (13, "preshared_key = \"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"", "peer.preshared_key", "a key itself", "chmod 600"),
    (15, "name = \"edge-south\"", "peer.name", "two peers with one name", "correct one"),
    (16, "public_key = \"CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"", "peer.public_key", "two peers with one key", "of its own"),
    (17, "addresses = [\"10.77.0.12\"]", "peer.addresses", "two peers with one address", "correct one"),
    (17, "addresses = [\"10.77.1.0/24\"]\nendpoint = \"198.51.100.7:51820\"", "peer.endpoint", "two peers with one endpoint", "correct one"),
    (19, "", "offer.service", "missing", "service = \"telemetry\""),
    (19, "service = \"a b\"", "offer.service", "cannot name a service", "telemetry"),
    (20, "", "offer.connect", "neither `connect` nor `listen`", "not both"),
    (20, "connect = \"tcp://127.0.0.1:5556\"\nlisten = \"tcp://127.0.0.1:5557\"", "offer.listen", "both `connect` and `listen`", "not both"),
    (20, "connect = \"tcp://192.0.2.1:5556\"", "offer.connect", "in clear", "tcp://127.0.0.1:5556"),
    (20, "connect = \"tcp://gateway:5556\"", "offer.connect", "not looked up", "tcp://127.0.0.1:5556"),
    (20, "connect = \"tcp://127.0.0.1:5558\"", "offer.connect", "itself listens", "binds"),
    (20, "connect = \"tcp://127.0.0.1:5556\"\n[[offer]]\nservice = \"telemetry\"\nconnect = \"tcp://127.0.0.1:1\"", "offer.service", "offered in line 19", "keep one"),
    (20, "conect = \"tcp://127.0.0.1:5556\"", "offer.conect", "unknown key", "`connect`"),
    (22, "", "use.service", "missing", "service = \"telemetry\""),
    (23, "", "use.listen", "missing", "listen = "),
    (23, "listen = \"tcp://*:5558\"", "use.listen", "in clear", "tcp://127.0.0.1:5558"),
    (23, "listen = \"tcp://127.0.0.1:0\"", "use.listen", "no port", "1 to 65535"),
    (23, "listen = \"127.0.0.1:5558\"", "use.listen", "no endpoint", "ipc://"),
    (24, "from = [\"edge-suth\"]", "use.from", "no peer is called", "\"edge-south\""),
    (24, "from = [\"edge-north\"]", "use.from", "this node itself", "peers only"),
    (24, "from = []", "use.from", "names no peer", "leave `from` out"),
    (27, "listen = \"tcp://127.0.0.1:5558\"", "use.listen", "line 23 listens", "another port"),
    (27, "connect = \"tcp://127.0.0.1:9\"", "use.connect", "unknown key", "listen"),
];

/// A line of [`CONFIG`] exchanged that only the policy shows to be wrong.
#[rustfmt::skip]
const IN_BOTH: [(usize, &str, &str, &str, &str); 8] = [
    (2, "name = \"edge-nort\"", "node.name", "has no node", "\"edge-north\""),
    (15, "name = \"edge-wets\"", "peer.name", "has no node", "\"edge-west\""),
    (19, "service = \"telemetri\"", "offer.service", "has no service", "\"telemetry\""),
    (19, "service = \"alarms\"", "offer.service", "service.alarms (policy.toml:15)", "remove this [[offer]]"),
    (22, "service = \"zzzzz\"", "use.service", "has no service", "add [service.zzzzz]"),
    (24, "from = [\"edge-west\"]", "use.from", "node edge-west may not host jobs", "[[allow]]"),
    (26, "service = \"telemetry\"", "use.service", "no other node may host", "remove this [[use]]"),
    (24, "from = [\"edge-south\"]\n[[use]]\nservice = \"jobs\"\nlisten = \"ipc://j.sock\"\nfrom = [\"edge-west\"]", "use.from", "may not host", "[[allow]]"),
];

fn with_line(text: &str, number: usize, instead: &str) -> String {
    let line = |(at, line)| if at + 1 == number { instead } else { line };
    text.lines().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

fn expect(found: &[Mistake], row: (usize, &str, &str, &str, &str)) {
    let (line, instead, key, problem, mend) = row;
    let of_key = |mistake: &&Mistake| mistake.key == key && mistake.problem.contains(problem);
    let hit =
        found.iter().find(of_key).unwrap_or_else(|| panic!("{instead:?}: no {key}: {problem} in {found:#?}"));
    assert!(hit.mend.contains(mend), "{instead:?}: {hit}");
    assert_eq!(hit.file, "lockgate.toml");
    // A key that is missing is told at its section, which stands above.
    let told_at_section = problem == "missing" || problem.starts_with("neither");
    let last = line + instead.lines().count().max(1) - 1;
    assert!(told_at_section && hit.line < line || (line..=last).contains(&hit.line), "{instead:?}: {hit}");
    assert!(!hit.to_string().contains("AQEBAQEB"), "a key is never repeated");
}

#[test]
fn the_examples_of_this_test_are_valid() {
    let config = Config::parse("lockgate.toml", CONFIG, Path::new("/etc/lockgate")).expect("valid");
    let policy = Policy::parse("policy.toml", POLICY).expect("valid");
    assert_eq!(check(&config, &policy), []);
    assert_eq!((config.warnings, policy.warnings), (Vec::new(), Vec::new()));
    assert_eq!(config.key, Path::new("/etc/lockgate/north.key"));
    assert_eq!(config.spin, Some(std::time::Duration::from_micros(50)));
    assert_eq!(config.peers[1].addresses[0].to_string(), "10.77.1.0/24");
    assert_eq!(config.offers[0].place, Place::Connect(Endpoint::Tcp(([127, 0, 0, 1], 5556).into())));
    assert_eq!(config.uses[0].from.as_deref(), Some(&["edge-south".to_owned()][..]));
    assert_eq!(config.uses[1].listen, Endpoint::Ipc(PathBuf::from("/etc/lockgate/alarms.sock")));
}

#[test]
fn every_mistake_in_the_configuration_names_its_line_its_key_and_the_mend() {
    for row in IN_CONFIG {
        let text = with_line(CONFIG, row.0, row.1);
        let found = Config::parse("lockgate.toml", &text, Path::new("/")).expect_err(row.1);
        expect(&found, row);
    }
}

#[test]
fn every_mistake_that_shows_with_the_policy_names_its_line_its_key_and_the_mend() {
    let policy = Policy::parse("policy.toml", POLICY).expect("valid");
    for row in IN_BOTH {
        let text = with_line(CONFIG, row.0, row.1);
        let config = Config::parse("lockgate.toml", &text, Path::new("/"));
        let config = config.unwrap_or_else(|found| panic!("{:?}: {found:#?}", row.1));
        expect(&check(&config, &policy), row);
    }
}

#[test]
fn a_use_that_no_rule_allows_names_the_nearest_rule() {
    let config = Config::parse("lockgate.toml", CONFIG, Path::new("/")).expect("valid");
    let refused =
        POLICY.replace("id = \"work\"\nfrom = \"role=sensor-gw\"", "id = \"work\"\nfrom = \"role=hmi\"");
    let policy = Policy::parse("policy.toml", &refused).expect("valid");
    let found = check(&config, &policy);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].line, found[0].key.as_str()), (24, "use.from"));
    assert!(
        found[0].problem.contains("nearest rule work (policy.toml:22): it is for role=hmi"),
        "{}",
        found[0]
    );
}

#[test]
fn a_use_without_a_peer_that_may_host_it_names_those_that_may() {
    let policy = POLICY.replace("hosted-by = \"role=hmi\"", "hosted-by = \"node=edge-east\"");
    let policy = Policy::parse("policy.toml", &policy).expect("valid");
    let config = Config::parse("lockgate.toml", CONFIG, Path::new("/")).expect("valid");
    let found = check(&config, &policy);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].line, found[0].key.as_str()), (26, "use.service"));
    assert!(found[0].mend.contains("edge-east"), "{}", found[0]);
}

#[test]
fn an_empty_configuration_and_a_missing_section_are_told() {
    for (text, problem, mend) in [
        ("", "empty", "lockgate init"),
        ("# nothing\n", "empty", "lockgate init"),
        ("[[use]]\nservice = \"a\"\nlisten = \"ipc://a\"\n", "missing", "[node]"),
        ("[node\n", "not TOML", "brackets"),
    ] {
        let found = Config::parse("lockgate.toml", text, Path::new("/")).expect_err(text);
        assert!(found[0].problem.contains(problem) && found[0].mend.contains(mend), "{text:?}: {found:#?}");
    }
}

/// Mutations of the valid configuration, from a seed.
#[test]
fn no_text_makes_the_parser_panic() {
    let mut state = 11_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    let (mut valid, mut mistaken) = (0, 0);
    for _ in 0..3000 {
        let mut text = CONFIG.as_bytes().to_vec();
        for _ in 0..1 + random(4) {
            let at = random(text.len());
            match random(3) {
                0 => text[at] = b"\"'[]{}=,.#:/*\n\\ \x00\x1bx9-"[random(21)],
                1 => drop(text.remove(at)),
                _ => text.extend_from_within(at..(at + random(80)).min(text.len())),
            }
        }
        match Config::parse("f", &String::from_utf8_lossy(&text), Path::new("/")) {
            Ok(_) => valid += 1,
            Err(found) => {
                assert!(!found.is_empty());
                mistaken += 1;
            }
        }
    }
    assert!(valid > 50 && mistaken > 1000, "{valid} valid, {mistaken} mistaken");
}
