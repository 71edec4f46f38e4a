//! What `wg` says of Lockgate is what it says of wireguard-go, told the same.
//!
//! ```text
//!  alone: subject          beside: wireguard-go          (each in a namespace of its own)
//!    └ wg set ... ───────────┘ the same words
//! ```

use lockgate_tests::network::{
    Device, Implementation, Lab, Namespace, PORT, Pair, Plan, ping, preshared_key,
};

/// Another port than [`PORT`].
const OTHER_PORT: u16 = 51_821;
/// `wg set` and what follows the interface's name; `{A}`, `{B}`, `{C}` are peers, the rest are files.
const STEPS: [&str; 22] = [
    "listen-port 51820",
    "private-key {KEY}",
    "fwmark 0x1234",
    "peer {A} preshared-key {PSK} endpoint 192.0.2.1:1234 allowed-ips 10.0.0.0/8,fd00::/16",
    "peer {B} endpoint [2001:db8::1]:65535 persistent-keepalive 25 allowed-ips 10.0.0.0/9,0.0.0.0/0,::/0",
    "peer {C}",
    "peer {C} allowed-ips 10.0.0.0/8",
    "peer {A} allowed-ips 10.1.2.3/32,10.1.2.0/24,10.1.2.3/24",
    "peer {B} persistent-keepalive off endpoint 192.0.2.7:7",
    "peer {B} persistent-keepalive 65535",
    "peer {A} preshared-key /dev/null",
    "peer {A} allowed-ips 10.9.9.9/16 peer {C} remove",
    "peer {C} remove",
    "peer {B} allowed-ips ",
    "listen-port 0",
    "listen-port 51821",
    "fwmark off",
    "peer {OWN} allowed-ips 10.5.0.0/16",
    "private-key {OTHER}",
    "peer {A} remove peer {B} remove",
    "private-key /dev/null",
    "peer {A} endpoint 127.0.0.1:9",
];

#[test]
fn wg_set_leads_to_what_wireguard_go_shows() {
    let other = Implementation::WireguardGo;
    let Some(lab) = Lab::open(&[other]) else { return };
    let hosts = [Namespace::new("alone"), Namespace::new("beside")];
    let devices =
        [Device::start(&lab, &hosts[0], Implementation::subject()), Device::start(&lab, &hosts[1], other)];
    for (host, device) in hosts.iter().zip(&devices) {
        host.ip(&format!("link set {} up", device.name()));
    }
    assert_eq!(shown(&devices[0]), shown(&devices[1]), "a new device");
    let keys = [lab.key_pair(), lab.key_pair(), lab.key_pair(), lab.key_pair(), lab.key_pair()];
    let [a, b, c, own, changed] = &keys;
    let preshared = preshared_key(&lab);
    for step in STEPS {
        let words = step
            .replace("{A}", &a.public)
            .replace("{B}", &b.public)
            .replace("{C}", &c.public)
            .replace("{OWN}", &own.public)
            .replace("{KEY}", &own.file.display().to_string())
            .replace("{OTHER}", &changed.file.display().to_string())
            .replace("{PSK}", &preshared.display().to_string());
        let said = [0, 1].map(|at| devices[at].try_wg("set", &words).is_ok());
        assert_eq!(said[0], said[1], "whether  wg set {step}  works");
        let shown = [0, 1].map(|at| shown(&devices[at]));
        assert_eq!(shown[0], shown[1], "after  wg set {step}");
    }
}

#[test]
fn a_tunnel_in_use_has_the_lines_of_wireguard_go() {
    let other = Implementation::WireguardGo;
    let Some(lab) = Lab::open(&[other]) else { return };
    let pair = Pair::start(&lab, &Plan { right: other, preshared: true, ..Plan::default() });
    ping(&pair.left.namespace, pair.right.v4.into());
    let [ours, theirs] = [&pair.left.device, &pair.right.device].map(|device| {
        let text = device.wg("show", "");
        text.lines().map(|line| masked(line, device.name())).collect::<Vec<_>>()
    });
    assert_eq!(ours, theirs);
    assert!(ours.iter().any(|line| line.contains("latest handshake")), "{ours:?}");
}

/// The label of a line, and the words of its value that are no figures.
fn masked(line: &str, interface: &str) -> String {
    let line = line.replace(interface, "IFNAME");
    let Some((label, value)) = line.split_once(": ") else { return line };
    let words = value
        .split_whitespace()
        .filter(|word| !word.contains(|c: char| c.is_ascii_digit()) && !["B", "KiB", "Now"].contains(word));
    // A handshake of this moment is told in other words than one of two seconds ago.
    if label.trim() == "latest handshake" || label.trim().ends_with("key") || label.trim() == "peer" {
        return label.to_owned();
    }
    format!("{label}: {}", words.collect::<Vec<_>>().join(" "))
}

/// Everything that `wg` can say of a device, in an order that does not depend on the implementation's.
fn shown(device: &Device) -> String {
    let mut dump: Vec<String> = device.wg("show", "dump").lines().map(sorted_lists).collect();
    dump[1..].sort();
    let paragraphs = |text: String| {
        let mut paragraphs: Vec<String> = text
            .split("\n\n")
            .map(|paragraph| paragraph.trim().lines().map(sorted_lists).collect::<Vec<_>>().join("\n"))
            .collect();
        paragraphs.sort();
        paragraphs.join("\n\n")
    };
    let show = paragraphs(device.wg("show", "")).replace(device.name(), "IFNAME");
    let conf = paragraphs(device.wg("showconf", ""));
    let all = format!("{}\n\n{show}\n\n{conf}\n", dump.join("\n"));
    match device.port() {
        0 | PORT | OTHER_PORT => all,
        // Each has chosen one by itself.
        chosen => all.replace(&chosen.to_string(), "CHOSEN"),
    }
}

/// A line whose comma-separated lists are in order.
fn sorted_lists(line: &str) -> String {
    let fields = line.split('\t').map(|field| {
        let (label, list) = field.split_once(": ").or_else(|| field.split_once(" = ")).unwrap_or(("", field));
        let mut items: Vec<&str> = list.split(',').map(str::trim).collect();
        items.sort_unstable();
        format!("{label} {}", items.join(","))
    });
    fields.collect::<Vec<_>>().join("\t")
}
