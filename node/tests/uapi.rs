//! The socket of the configuration protocol against the real `wg`, and what `wg` then shows against wireguard-go's.
//!
//! ```text
//!  wg set, setconf, syncconf, show ──▶ /var/run/wireguard/lgt<pid>.sock ──▶ a device that only remembers
//!                                  └─▶ /var/run/wireguard/lgr<pid>.sock ──▶ wireguard-go, in a network namespace of its own
//! ```
//! `wg` looks nowhere else; without it, or without root, the tests say so and pass.
#![expect(clippy::disallowed_methods, reason = "the test writes the files that wg reads")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use device::FakeDevice;
use lockgate::uapi::server::FOLDER;

#[path = "uapi/device.rs"]
mod device;

const LONG: Duration = Duration::from_secs(20);
const PRIVATE: &str = "+Dc0MZojBTy/ta1n1+sGMjmZRxj2rQ9LvuWyUryofks=";
const FIRST: &str = "5SEPEnhnEdP0t9lZDVOK4sMdvnEG/AP8TNVJxxWkk8o=";
const SECOND: &str = "GCTwLjzN2CoHKyGJYs8kCzBBTVaFkhS4TPmHcWvFnXA=";
const SHARED: &str = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=";

#[test]
fn wg_sets_and_shows_every_key() {
    let Some(world) = World::new("lgk") else { return };
    let _device = FakeDevice::start(&world.name);
    world.set(&["listen-port", "51999", "fwmark", "0x33", "private-key", &world.file("key", PRIVATE)]);
    world.set(&[
        "peer",
        FIRST,
        "preshared-key",
        &world.file("shared", SHARED),
        "endpoint",
        "192.0.2.1:51820",
    ]);
    world.set(&["peer", FIRST, "persistent-keepalive", "25", "allowed-ips", "10.0.0.0/8,2001:db8::1/32"]);
    world.set(&["peer", SECOND, "endpoint", "[2001:db8::2]:7"]);
    let public = world.wg(&["show", &world.name, "public-key"]);
    let expected = format!(
        "{PRIVATE}\t{}\t51999\t0x33\n\
         {FIRST}\t{SHARED}\t192.0.2.1:51820\t10.0.0.0/8,2001:db8::/32\t0\t0\t0\t25\n\
         {SECOND}\t(none)\t[2001:db8::2]:7\t(none)\t0\t0\t0\toff\n",
        public.trim()
    );
    assert_eq!(world.dump(), expected);
    // Taken away again, one by one.
    world.set(&["fwmark", "off", "peer", FIRST, "preshared-key", &world.file("none", ""), "allowed-ips", ""]);
    world.set(&["peer", FIRST, "persistent-keepalive", "off", "peer", SECOND, "remove"]);
    let expected = format!(
        "{PRIVATE}\t{}\t51999\toff\n{FIRST}\t(none)\t192.0.2.1:51820\t(none)\t0\t0\t0\toff\n",
        public.trim()
    );
    assert_eq!(world.dump(), expected);
    // An allowed IP moves to whom it was given last.
    world.set(&["peer", FIRST, "allowed-ips", "10.0.0.0/8", "peer", SECOND, "allowed-ips", "10.0.0.0/8"]);
    assert_eq!(
        world.wg(&["show", &world.name, "allowed-ips"]),
        format!("{FIRST}\t(none)\n{SECOND}\t10.0.0.0/8\n")
    );
    // No key is no key; the port cannot be had.
    world.set(&["private-key", &world.file("zero", "")]);
    assert_eq!(world.wg(&["show", &world.name, "private-key"]), "(none)\n");
    let refused = world.try_wg(&["set", &world.name, "listen-port", "1"]).unwrap_err();
    assert!(refused.contains("Address already in use"), "{refused}");
}

#[test]
fn setconf_syncconf_and_addconf_do_what_they_say() {
    let Some(world) = World::new("lgc") else { return };
    let _device = FakeDevice::start(&world.name);
    let peers = |peers: &[(&str, &str)]| -> String {
        let peers = peers.iter().map(|(key, ips)| format!("[Peer]\nPublicKey = {key}\nAllowedIPs = {ips}\n"));
        format!("[Interface]\nPrivateKey = {PRIVATE}\n{}", peers.collect::<String>())
    };
    world.conf("setconf", &peers(&[(FIRST, "10.1.0.0/16"), (SECOND, "10.2.0.0/16")]));
    let allowed = || world.wg(&["show", &world.name, "allowed-ips"]);
    assert_eq!(allowed(), format!("{FIRST}\t10.1.0.0/16\n{SECOND}\t10.2.0.0/16\n"));
    world.conf("syncconf", &peers(&[(SECOND, "10.2.0.0/16, 10.3.0.0/16")]));
    assert_eq!(allowed(), format!("{SECOND}\t10.2.0.0/16 10.3.0.0/16\n"));
    world.conf("addconf", &format!("[Peer]\nPublicKey = {FIRST}\nAllowedIPs = ::/0\n"));
    assert_eq!(allowed(), format!("{FIRST}\t::/0\n{SECOND}\t10.2.0.0/16 10.3.0.0/16\n"));
    world.conf("setconf", &peers(&[(FIRST, "0.0.0.0/0")]));
    assert_eq!(allowed(), format!("{FIRST}\t0.0.0.0/0\n"));
}

#[test]
fn wg_sets_and_shows_130_000_allowed_ips() {
    let Some(world) = World::new("lgm") else { return };
    let _device = FakeDevice::start(&world.name);
    let ranges: Vec<String> =
        (0..130_000_u32).map(|at| format!("10.{}.{}.{}/32", at >> 16, (at >> 8) & 255, at & 255)).collect();
    world.conf("setconf", &format!("[Peer]\nPublicKey = {FIRST}\nAllowedIPs = {}\n", ranges.join(",")));
    let shown = world.wg(&["show", &world.name, "allowed-ips"]);
    assert_eq!(shown, format!("{FIRST}\t{}\n", ranges.join(" ")));
}

#[test]
fn wg_shows_the_same_as_with_wireguard_go() {
    let Some(world) = World::new("lgs") else { return };
    let Some(reference) = WireguardGo::start() else { return };
    let _device = FakeDevice::start(&world.name);
    let conf = format!(
        "[Interface]\nPrivateKey = {PRIVATE}\nListenPort = 51999\nFwMark = 0x33\n\
         [Peer]\nPublicKey = {FIRST}\nPresharedKey = {SHARED}\nAllowedIPs = 10.0.0.0/8, 2001:db8::/32, 192.0.2.77/24\n\
         Endpoint = 192.0.2.1:51820\nPersistentKeepalive = 25\n\
         [Peer]\nPublicKey = {SECOND}\nEndpoint = [2001:db8::2]:7\n"
    );
    let path = world.file("conf", &conf);
    for (name, world) in [(&world.name, &world), (&reference.name, &world)] {
        world.wg(&["setconf", name, &path]);
    }
    for view in [&["show"][..], &["showconf"]] {
        let seen = |name: &str| {
            let text = world.wg(&[view, &[name]].concat());
            let mut parts: Vec<String> =
                text.replace(name, "IFNAME").trim_end().split("\n\n").map(settled).collect();
            // The reference keeps its peers in no order.
            parts[1..].sort();
            parts
        };
        assert_eq!(seen(&world.name), seen(&reference.name), "{view:?}");
        assert_eq!(seen(&world.name).len(), 3, "{view:?}");
    }
}

/// Without what a device that sends has and one that remembers has not.
fn settled(part: &str) -> String {
    part.lines().filter(|line| !line.trim().starts_with("transfer:")).collect::<Vec<_>>().join("\n")
}

/// An interface's name, a folder of the test's own, and `wg`.
struct World {
    name: String,
    scratch: tempfile::TempDir,
}

impl World {
    /// Nothing where `wg` cannot be tried, with the reason on stderr.
    fn new(prefix: &str) -> Option<Self> {
        let missing = |what: &str| eprintln!("skipped: {what}");
        if Command::new("wg").arg("--version").output().is_err() {
            missing("there is no wg (Debian: wireguard-tools)");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            missing("only root may write to /var/run/wireguard");
            return None;
        }
        let scratch = tempfile::tempdir().expect("the temporary directory is writable");
        Some(Self { name: format!("{prefix}{}", std::process::id()), scratch })
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, text).expect("our own folder");
        path.to_str().expect("text").to_owned()
    }

    fn try_wg(&self, args: &[&str]) -> Result<String, String> {
        let output = Command::new("wg").env("WG_HIDE_KEYS", "never").args(args).output().expect("wg runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn wg(&self, args: &[&str]) -> String {
        self.try_wg(args).unwrap_or_else(|error| panic!("wg {args:?}: {error}"))
    }

    fn set(&self, args: &[&str]) {
        self.wg(&[&["set", &self.name], args].concat());
    }

    fn conf(&self, verb: &str, conf: &str) {
        self.wg(&[verb, &self.name, &self.file("conf", conf)]);
    }

    fn dump(&self) -> String {
        self.wg(&["show", &self.name, "dump"])
    }
}

/// wireguard-go with its interface in a network namespace that ends with it.
struct WireguardGo {
    name: String,
    process: Child,
}

impl WireguardGo {
    fn start() -> Option<Self> {
        let name = format!("lgr{}", std::process::id());
        if !Path::new("/dev/net/tun").exists() {
            eprintln!("skipped: this machine has no /dev/net/tun");
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(["--net", "wireguard-go", "-f", &name]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().ok()?;
        let socket = PathBuf::from(FOLDER).join(format!("{name}.sock"));
        let started = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if process.try_wait().expect("our own child").is_some() {
                eprintln!("skipped: wireguard-go is not there, or does not run here");
                return None;
            }
            assert!(started.elapsed() < LONG, "wireguard-go has no socket");
            std::thread::yield_now();
        }
        Some(Self { name, process })
    }
}

impl Drop for WireguardGo {
    fn drop(&mut self) {
        // Its socket's end is its own.
        let _ = std::fs::remove_file(PathBuf::from(FOLDER).join(format!("{}.sock", self.name)));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
