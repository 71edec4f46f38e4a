//! wg-quick with an implementation of ours to choose.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::command::try_run;
use super::lab::on_path;
use super::{Implementation, Lab, Namespace, socket, unique_name};
use crate::rig::{put, put_private};

/// Tells wg-quick that there is no kernel WireGuard, as a host without the module would.
const NO_MODULE: (&str, &str) = ("[[ -e /sys/module/wireguard ]] || ", "");

/// A configuration for wg-quick, and the tool itself, in a folder of the test.
pub struct Quick<'a> {
    lab: &'a Lab,
    namespace: &'a Namespace,
    /// The interface's name, which is its file's.
    name: String,
    config: PathBuf,
    tool: PathBuf,
    wrapper: PathBuf,
    is_up: bool,
}

impl<'a> Quick<'a> {
    /// Writes the configuration; `None`, with the reason on stderr, where wg-quick is not installed.
    pub fn prepare(
        lab: &'a Lab,
        namespace: &'a Namespace,
        implementation: Implementation,
        config: &str,
    ) -> Option<Self> {
        let Some(installed) = on_path("wg-quick") else {
            lab.lacks("there is no program named wg-quick");
            return None;
        };
        let name = unique_name();
        let file = lab.dir().join(format!("{name}.conf"));
        put_private(&file, config);
        // The tool puts its own folder before PATH: there, `ip` makes no WireGuard device of the kernel's.
        let bin = lab.dir().join(format!("{name}-bin"));
        std::fs::create_dir(&bin).expect("a new folder");
        let tool = bin.join("wg-quick");
        let text = std::fs::read_to_string(installed).expect("a script").replace(NO_MODULE.0, NO_MODULE.1);
        put_program(&tool, &text);
        let ip = on_path("ip").expect("`Lab::open` has looked");
        put_program(
            &bin.join("ip"),
            &format!(
                "#!/bin/sh\ncase \"$*\" in *'type wireguard') exit 2;; esac\nexec {} \"$@\"\n",
                ip.display()
            ),
        );
        let wrapper = bin.join("implementation");
        let program = implementation.program().expect("`Lab::open` was asked for it");
        let arguments = implementation.daemon_arguments().join(" ");
        put_program(&wrapper, &format!("#!/bin/sh\nexec {} {arguments} \"$1\"\n", program.display()));
        Some(Self { lab, namespace, name, config: file, tool, wrapper, is_up: false })
    }

    /// `wg-quick up`.
    pub fn up(&mut self) {
        self.is_up = true;
        self.run("up").unwrap_or_else(|said| panic!("wg-quick up:\n{said}"));
    }

    /// `wg-quick down`.
    pub fn down(&mut self) {
        self.run("down").unwrap_or_else(|said| panic!("wg-quick down:\n{said}"));
        self.is_up = false;
    }

    /// The configuration as `wg` understands it.
    pub fn strip(&self) -> String {
        try_run(self.namespace.command(&self.tool).arg("strip").arg(&self.config)).expect("its own file")
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        socket(&self.name)
    }

    /// A daemon keeps the files that it was started with, so that a pipe would never end.
    fn run(&self, verb: &str) -> Result<(), String> {
        let log = self.lab.private_file("");
        let output = std::fs::File::options().append(true).open(&log).expect("our own file");
        let status = self
            .namespace
            .command(&self.tool)
            .arg(verb)
            .arg(&self.config)
            .env("WG_QUICK_USERSPACE_IMPLEMENTATION", &self.wrapper)
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("an open file"))
            .stdout(output)
            .status()
            .expect("ip is there");
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        if status.success() { Ok(()) } else { Err(said) }
    }
}

impl Drop for Quick<'_> {
    fn drop(&mut self) {
        if self.is_up {
            // A test has failed: the namespace takes what is left.
            let _ =
                try_run(Command::new("ip").args(["-n", self.namespace.name(), "link", "del", &self.name]));
            let _ = std::fs::remove_file(self.socket());
        }
    }
}

fn put_program(path: &Path, text: &str) {
    put(path, text);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("our own file");
}
