//! A network of its own: a namespace that holds nothing but a loopback device.

use std::process::Command;

/// A network namespace; gone with the value.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A namespace whose loopback device carries packets of `mtu` bytes; `None`, with the reason on stderr, where this
    /// process may not make one.
    pub fn with_loopback_mtu(mtu: u16) -> Option<Self> {
        let name = format!("lockgate-{}-{mtu}", std::process::id());
        if let Err(why) = ip(&["netns", "add", &name]) {
            eprintln!("skipped: no network namespace can be made here: {why}");
            return None;
        }
        let made = Self { name };
        let mtu = mtu.to_string();
        ip(&["-n", &made.name, "link", "set", "lo", "mtu", &mtu, "up"]).expect("our own namespace");
        Some(made)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What is left of it goes with the machine.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
