//! What nmap and ping find from every node to every other is what `lockgate reach` prints.
//!
//! ```text
//!  north (role=edge)    south (role=edge)    vault (role=store)    desk (role=ops)
//!    └ each scans the three others, over IPv4 and IPv6; each listens on every port that is scanned ┘
//! ```

use std::collections::BTreeSet;
use std::net::{IpAddr, TcpListener};

use lockgate_tests::network::{Echo, Lab, Namespace};
use lockgate_tests::rig::{lockgate_command, put};
use serde_json::Value;

use super::{Net, Role, said};

const NAMES: [&str; 4] = ["north", "south", "vault", "desk"];

/// Ranges with their ends, a forbid, and flow rules that take away (8003), add (9000, 9001), and would add what is
/// forbidden (9100).
const POLICY: &str = r#"default = "deny"
rules = '''
accept established;
drop ipprotocol tcp and dport 8003;
accept ipprotocol tcp and dport 9000-9001 and to role=store and from role=edge;
accept ipprotocol udp and dport 9100 and from role=edge;
drop ( ipprotocol icmp4 or ipprotocol icmp6 ) and from role=ops and to role=store;
'''
[tags]
role = ["edge", "store", "ops"]
[nodes]
north = { role = "edge" }
south = { role = "edge" }
vault = { role = "store" }
desk = { role = "ops" }
[[allow]]
id = "web"
from = "role=edge"
to = "role=store tcp:8000-8009"
[[allow]]
id = "low"
from = "role=ops"
to = "role=store tcp:1-1024"
[[allow]]
id = "ssh"
from = "role=ops"
to = "role=edge tcp:22"
[[allow]]
id = "voice"
from = "role=edge"
to = "role=edge udp:5000-5010"
[[allow]]
id = "top"
from = "node=south"
to = "role=store udp:65535"
[[allow]]
id = "pings"
from = "role=ops"
to = "role=edge icmp"
[[allow]]
id = "pings-among"
from = "role=edge"
to = "node=north icmp"
[[allow]]
id = "more-pings"
from = "role=ops"
to = "role=store icmp"
[[forbid]]
id = "edges-never-begin-with-ops"
from = "role=edge"
to = "role=ops"
"#;

/// The ends of every range, their neighbours, and what none names.
const TCP: [u16; 18] =
    [1, 21, 22, 23, 1023, 1024, 1025, 7999, 8000, 8002, 8003, 8004, 8009, 8010, 8999, 9000, 9001, 9002];
const UDP: [u16; 10] = [53, 4999, 5000, 5005, 5010, 5011, 9099, 9100, 9101, 65_535];

/// How often it is looked at most.
const SCANS: usize = 3;

/// A line for each thing that one node reaches at another.
type Found = BTreeSet<String>;

fn list(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// Everything that is scanned, open, as far as the host itself goes.
fn listen(host: &Namespace, family: &str) -> (Vec<TcpListener>, Vec<Echo>) {
    let any: IpAddr = family.parse().expect("an address");
    #[expect(clippy::disallowed_methods, reason = "the application that a scanner looks for")]
    let listener = |port| host.enter(|| TcpListener::bind((any, port))).expect("a free port");
    let echo = |port| Echo::start_at(host, (any, port).into());
    (TCP.into_iter().map(listener).collect(), UDP.into_iter().map(echo).collect())
}

/// What `from` finds at the others.
fn scan(from: &Namespace, own: usize, v6: bool) -> Found {
    let address = |number: usize| if v6 { format!("fd77::{number}") } else { format!("10.77.0.{number}") };
    let others: Vec<usize> = (0..NAMES.len()).filter(|other| *other != own).collect();
    let mut nmap = from.command("nmap");
    if v6 {
        nmap.arg("-6");
    }
    nmap.args(["-n", "-Pn", "-sT", "-sU", "-T4", "--max-rtt-timeout", "400ms", "--max-retries", "2"]);
    nmap.args(["--min-parallelism", "32", "-oG", "-"]);
    nmap.args(["-p", &format!("T:{},U:{}", list(&TCP), list(&UDP))]);
    nmap.args(others.iter().map(|other| address(other + 1)));
    let report = said(&mut nmap);
    let mut found = Found::new();
    for other in others {
        let (address, pair) = (address(other + 1), format!("{} to {}", NAMES[own], NAMES[other]));
        let host = |line: &&str| line.starts_with(&format!("Host: {address} ")) && line.contains("Ports: ");
        let line = report.lines().find(host).unwrap_or_else(|| panic!("nothing on {address}: {report}"));
        let ports = line.split("Ports: ").nth(1).expect("it has them").split('\t').next().expect("a field");
        for port in ports.split(", ") {
            let [number, state, protocol, ..] = port.split('/').collect::<Vec<_>>()[..] else {
                panic!("{port} is no port: {report}");
            };
            if state == "open" {
                found.insert(format!("{pair} {protocol}:{number}"));
            }
        }
        if from.try_run(&format!("ping -n -q -c 2 -i 0.2 -W 1 {address}")).is_ok() {
            found.insert(format!("{pair} icmp"));
        }
    }
    found
}

/// What each finds at the others.
fn scan_all(net: &Net<4>, v6: bool) -> Found {
    std::thread::scope(|scope| {
        let scans: Vec<_> = (0..)
            .zip(&net.hosts)
            .map(|(own, host)| scope.spawn(move || scan(&host.namespace, own, v6)))
            .collect();
        scans.into_iter().flat_map(|scan| scan.join().expect("a scan")).collect()
    })
}

/// What the matrix says that they find.
fn expected(reach: &Value) -> Found {
    let mut expected = Found::new();
    for pair in reach["pairs"].as_array().expect("pairs") {
        let text = |key: &str| pair[key].as_str().expect("a name").to_owned();
        let pair_text = format!("{} to {}", text("from"), text("to"));
        for (protocol, probes) in [("tcp", &TCP[..]), ("udp", &UDP[..])] {
            let ranges: Vec<(u64, u64)> =
                serde_json::from_value(pair[protocol].clone()).expect("ranges of ports");
            for port in probes.iter().filter(|&&port| {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&u64::from(port)))
            }) {
                expected.insert(format!("{pair_text} {protocol}:{port}"));
            }
        }
        if pair["icmp"].as_bool().expect("yes or no") {
            expected.insert(format!("{pair_text} icmp"));
        }
    }
    expected
}

#[test]
fn nmap_and_ping_find_exactly_the_matrix_that_reach_prints() {
    let Some(lab) = Lab::open(&[]) else { return };
    if !lab.has("nmap") {
        return;
    }
    let file = lab.dir().join("policy.toml");
    put(&file, POLICY);
    let mut reach = lockgate_command();
    reach.args(["reach", "--json", "--policy"]).arg(&file);
    let reach: Value = serde_json::from_str(&said(&mut reach)).expect("JSON");
    let expected = expected(&reach);
    // The policy is none that says nothing: each kind of rule has its say.
    for (reached, what) in [
        (true, "north to vault tcp:8000"),
        (true, "north to vault tcp:8009"),
        (false, "north to vault tcp:8003"),
        (true, "south to vault tcp:9001"),
        (false, "desk to vault tcp:9001"),
        (true, "south to vault udp:65535"),
        (true, "north to vault udp:9100"),
        (false, "north to desk udp:9100"),
        (true, "desk to south icmp"),
        (false, "desk to vault icmp"),
    ] {
        assert_eq!(expected.contains(what), reached, "{what}: {expected:#?}");
    }
    let net = Net::start(&lab, NAMES.map(Role::named), POLICY);
    for (v6, any) in [(false, "0.0.0.0"), (true, "::")] {
        let _listeners: Vec<_> = net.hosts.iter().map(|host| listen(&host.namespace, any)).collect();
        let mut found = Found::new();
        // A busy machine may lose a probe; what is found once was never to be lost.
        for _ in 0..SCANS {
            found.extend(scan_all(&net, v6));
            let surplus: Vec<_> = found.difference(&expected).collect();
            assert!(surplus.is_empty(), "over {any}: found, and reach does not say: {surplus:#?}");
            if found == expected {
                break;
            }
        }
        let missing: Vec<_> = expected.difference(&found).collect();
        assert!(missing.is_empty(), "over {any}: reach says, and nobody finds: {missing:#?}");
    }
    net.assert_no_errors();
}
