//! Everything at once, on a bad path: one minute, or `LOCKGATE_TORTURE_SECONDS`; `LOCKGATE_SEED` repeats the path's whims.
//!
//! ```text
//!  left 10.100.0.1                       router                          right 10.100.0.2
//!   └── wire 10.91.0.x ══ veth ══ 10.91.0.254 [ relay ] 10.92.0.254 ══ veth ══ wire 10.92.0.x ──┘
//!                                 loses 5 in 100, doubles and delays some, takes new ports
//! ```
//!
//! First half: loss, duplicates, reordering, and every few seconds an endpoint that changes. Second half: the same without
//! reordering, so that whatever comes out of order was put out of order by the tunnel.
#![expect(clippy::disallowed_methods, reason = "the test lasts as long as it is told to, and binds ports")]

mod datagrams;
mod relay;

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lockgate_tests::network::{Device, Flow, Implementation, KeyPair, Lab, Namespace, answers};
use lockgate_tests::rig::{SOON, eventually};

use super::behaviour::subject_lacks;
use datagrams::Datagrams;
use relay::{Relay, Temper};

const SECONDS: u64 = 60;
/// Between two changes of an endpoint.
const REST: Duration = Duration::from_secs(3);
/// How much a process may grow from the first quarter to the end: allocators differ, leaks do not stop.
const GROWTH: u64 = 8 << 20;
/// What each stream must have moved at least for every second: it may be slow, it may not stand.
const LEAST: u64 = 2_000;

struct Host {
    namespace: Namespace,
    device: Device,
    key: KeyPair,
    /// The third number of its address on the wire.
    net: u8,
    inner: [IpAddr; 2],
}

#[test]
fn a_bad_path_corrupts_nothing_and_the_tunnel_reorders_nothing() {
    let Some(lab) = Lab::open(&[]) else { return };
    let number = |name: &str, default| {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let whole = Duration::from_secs(number("LOCKGATE_TORTURE_SECONDS", SECONDS));
    let seed = number("LOCKGATE_SEED", u64::from(std::process::id()));
    eprintln!("torture for {whole:?}: rerun with LOCKGATE_SEED={seed}");
    let router = Namespace::new("router");
    let hosts = [(91, 1), (92, 2)].map(|(net, number)| Host::start(&lab, &router, net, number));
    let [left, right] = &hosts;
    let relay = Relay::start(
        &router,
        [[10, 91, 0, 254].into(), [10, 92, 0, 254].into()],
        right.endpoint(51_820),
        seed,
    );
    left.knows(right, &format!(" endpoint {}", relay.address()));
    right.knows(left, " persistent-keepalive 1");
    eventually("a first ping", SOON, || answers(&left.namespace, right.inner[0], 1).then_some(()));

    let flows = [
        Flow::start(&left.namespace, &right.namespace, right.inner[0]),
        Flow::start(&right.namespace, &left.namespace, left.inner[0]),
        Flow::start(&left.namespace, &right.namespace, right.inner[1]),
        Flow::start(&right.namespace, &left.namespace, left.inner[1]),
    ];
    let datagrams = [
        Datagrams::start(&left.namespace, &right.namespace, right.inner[0], seed),
        Datagrams::start(&right.namespace, &left.namespace, left.inner[1], seed + 1),
    ];
    let pings =
        [(left, right.inner[0]), (right, left.inner[1])].map(|(host, target)| host.ping_for(target, whole));
    let moves_addresses = !subject_lacks("replace a source address at once", &[Implementation::WireguardGo]);
    let mut changes = Changes { hosts: &hosts, relay: &relay, moves_addresses, made: 0 };

    relay.set(Temper { loses: 5, doubles: 1, delays: 20 });
    changes.until(Instant::now() + whole / 4, Rebind::Too);
    let warm = hosts.each_ref().map(Host::resident);
    changes.until(Instant::now() + whole / 4, Rebind::Too);
    relay.set(Temper { loses: 5, doubles: 0, delays: 0 });
    rest(Duration::from_millis(500));
    for stream in &datagrams {
        stream.expect_order();
    }
    changes.until(Instant::now() + whole / 2, Rebind::Never);

    relay.set(Temper::default());
    let made = changes.made;
    for (number, flow) in flows.into_iter().enumerate() {
        let received = flow.received();
        eprintln!("stream {number}: {received} bytes, all of them right");
        assert!(received >= LEAST * whole.as_secs(), "stream {number} moved {received} bytes in {whole:?}");
        flow.finish();
    }
    for stream in datagrams {
        judge_datagrams(stream);
    }
    for ping in pings {
        judge_pings(ping);
    }
    for (host, warm) in hosts.iter().zip(warm) {
        host.judge(warm);
    }
    eprintln!("{made} changes of endpoints");
}

fn judge_datagrams(stream: Datagrams) {
    let seen = stream.finish();
    eprintln!("datagrams: {seen:?}");
    assert_eq!((seen.corrupt, seen.twice, seen.late), (0, 0, 0), "{seen:?}");
    assert!(seen.arrived * 100 > seen.sent * 60, "5 in 100 are lost on the way: {seen:?}");
}

fn judge_pings(ping: Child) {
    let said = String::from_utf8(ping.wait_with_output().expect("our own child").stdout).expect("ASCII");
    assert!(!said.contains("wrong data"), "{said}");
    let lost = said.split("% packet loss").next().and_then(|head| head.rsplit(' ').next());
    let lost: f64 = lost.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    eprintln!("pings: {lost} in 100 lost");
    assert!(lost < 50.0, "{said}");
}

impl Host {
    fn start(lab: &Lab, router: &Namespace, net: u8, number: u8) -> Self {
        let namespace = Namespace::new("host");
        let port = format!("to{net}");
        namespace.join("wire", router, &port, 1500);
        router.address(&port, &format!("10.{net}.0.254/24"));
        namespace.address("wire", &format!("10.{net}.0.1/24"));
        let device = Device::start(lab, &namespace, Implementation::subject());
        let key = lab.key_pair();
        device.set(&format!("private-key {} listen-port 51820", key.file.display()));
        namespace.ip(&format!("link set {} mtu 1420 up", device.name()));
        namespace.address(device.name(), &format!("10.100.0.{number}/24"));
        namespace.address(device.name(), &format!("fd00:100::{number}/64"));
        let inner = [
            IpAddr::from([10, 100, 0, number]),
            IpAddr::from([0xfd00, 0x100, 0, 0, 0, 0, 0, u16::from(number)]),
        ];
        Self { namespace, device, key, net, inner }
    }

    fn knows(&self, other: &Self, more: &str) {
        let [v4, v6] = other.inner;
        self.device.set(&format!("peer {} allowed-ips {v4}/32,{v6}/128{more}", other.key.public));
    }

    fn endpoint(&self, port: u16) -> SocketAddr {
        ([10, self.net, 0, 1], port).into()
    }

    /// Ten pings a second, in the background.
    fn ping_for(&self, target: IpAddr, whole: Duration) -> Child {
        let count = (whole.as_secs() * 10).to_string();
        let mut command = self.namespace.command("ping");
        command.args(["-n", "-q", "-i", "0.1", "-s", "1000", "-c", &count, &target.to_string()]);
        command.stdout(Stdio::piped()).spawn().expect("ping is there")
    }

    /// The program is alive, no larger than it was when it was warm, and has nothing to complain of.
    fn judge(&self, warm: u64) {
        let end = self.resident();
        eprintln!("{}: {warm} bytes resident when warm, {end} at the end", self.device.name());
        assert!(self.device.try_wg("show", "").is_ok(), "it is alive");
        let keeps_its_size = !subject_lacks("keep its size", &[Implementation::WireguardGo]);
        assert!(!keeps_its_size || end <= warm + warm / 4 + GROWTH, "it grew from {warm} to {end} bytes");
        let log = self.device.log();
        let errors = log.lines().filter(|line| line.contains("ERROR")).count();
        assert!(errors == 0 || Implementation::subject() != Implementation::Lockgate, "{log}");
    }

    /// Bytes of memory that the program holds.
    fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.device.pid());
        let status = std::fs::read_to_string(path).expect("it is alive");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells");
        let kilobytes: u64 =
            line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
        kilobytes << 10
    }
}

/// Whether the relay takes new ports too, which may put datagrams out of order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rebind {
    Too,
    Never,
}

/// What moves.
struct Changes<'t> {
    hosts: &'t [Host; 2],
    relay: &'t Relay,
    /// Since Linux answers a source address that is gone with ENETUNREACH (IPv4), wireguard-go keeps it until the next
    /// handshake; no stream lives long on a path that stands for 15 s again and again.
    moves_addresses: bool,
    made: u16,
}

impl Changes<'_> {
    /// Changes an endpoint every few seconds.
    fn until(&mut self, end: Instant, rebind: Rebind) {
        while Instant::now() < end {
            rest(REST.min(end.saturating_duration_since(Instant::now())));
            let host = &self.hosts[usize::from(self.made % 2)];
            match self.made / 2 % 3 {
                0 => host.device.set(&format!("listen-port {}", 52_000 + self.made)),
                1 if self.moves_addresses => {
                    host.namespace.ip("-4 address flush dev wire");
                    host.namespace.address("wire", &format!("10.{}.0.{}/24", host.net, 2 + self.made % 250));
                }
                _ if rebind == Rebind::Too => self.relay.rebind(),
                _ => {}
            }
            self.made += 1;
        }
    }
}

fn rest(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
