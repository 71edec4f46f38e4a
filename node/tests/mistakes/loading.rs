//! Mistakes around the files themselves: missing, open to others, no keys, and several files at once.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use lockgate::config::load;
use lockgate::machine::files_write::{Access, Existing, write};
use lockgate_proto::document::Mistake;

use super::{CONFIG, OWN_PUBLIC, POLICY, PRIVATE, with_line};

/// A folder of its own under the system's folder for temporary files; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("lockgate-mistakes-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("the temporary folder can be written");
        Self(path)
    }

    fn with(self, name: &str, text: &str) -> Self {
        let path = self.0.join(name);
        write(&path, text, Access::Everyone, Existing::Keep).expect("it is new");
        // Whatever the umask of whoever runs this.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
        self
    }

    fn with_secret(self, name: &str, text: &str) -> Self {
        write(&self.0.join(name), text, Access::Owner, Existing::Keep).expect("it is new");
        self
    }

    fn config(&self) -> PathBuf {
        self.0.join("lockgate.toml")
    }

    /// The mistakes of loading, each as `file:line key: problem | mend`, with the folder left out.
    fn mistakes(&self) -> Vec<String> {
        let found = load(&self.config()).err().unwrap_or_default();
        let folder = format!("{}/", self.0.display());
        let told = found.iter().map(|mistake| {
            let Mistake { file, line, key, problem, mend } = mistake;
            format!("{file}:{line} {key}: {problem} | {mend}").replace(&folder, "")
        });
        told.collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_node_loads_from_its_files() {
    let folder = Folder::new().with("lockgate.toml", CONFIG).with("policy.toml", POLICY);
    let folder = folder.with_secret("north.key", &format!("{PRIVATE}\n"));
    let loaded = load(&folder.config()).unwrap_or_else(|found| panic!("{found:#?}"));
    assert_eq!((loaded.rules.generation(), loaded.preshared_keys.len()), (1, 2));
    assert!(loaded.preshared_keys.iter().all(Option::is_none));
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.rules.hosts("jobs").collect::<Vec<_>>(), ["edge-south"]);
}

#[test]
fn without_a_policy_a_node_loads_warns_and_grants_nothing() {
    let folder =
        Folder::new().with("lockgate.toml", &with_line(CONFIG, 6, "")).with_secret("north.key", PRIVATE);
    let loaded = load(&folder.config()).unwrap_or_else(|found| panic!("{found:#?}"));
    assert!(loaded.rules.is_nothing() && loaded.policy.is_none());
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].problem.contains("nothing passes"));
}

#[test]
fn mistakes_around_the_files_themselves_are_told() {
    let folder = || Folder::new().with("lockgate.toml", CONFIG);
    let policy = |folder: Folder| folder.with("policy.toml", POLICY);
    let key = |folder: Folder| folder.with_secret("north.key", PRIVATE);
    let own_key = CONFIG.replace("CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", OWN_PUBLIC);
    let psk = with_line(CONFIG, 13, "preshared_key = \"psk.key\"");
    let with_psk =
        |text: &str| key(policy(Folder::new().with("lockgate.toml", &psk))).with_secret("psk.key", text);
    for (folder, told) in [
        (Folder::new(), "lockgate.toml:0 : the file does not exist | name the configuration with  -c FILE"),
        (key(folder()), "lockgate.toml:6 node.policy: policy.toml does not exist | write it"),
        (
            policy(folder()),
            "lockgate.toml:3 node.key: north.key does not exist | make one:  lockgate keygen north.key",
        ),
        (
            policy(folder()).with("north.key", PRIVATE),
            "lockgate.toml:3 node.key: north.key can be read or written by others (mode 0644) | chmod 600 north.key",
        ),
        (
            policy(folder()).with_secret("north.key", "AQEBAQEB and no more"),
            "lockgate.toml:3 node.key: north.key holds no key: 44 characters of base64 are wanted | move it away",
        ),
        (
            policy(folder()).with_secret("north.key", &"A".repeat(2000)),
            "lockgate.toml:3 node.key: north.key is too long | at most 1024 bytes",
        ),
        (
            key(policy(Folder::new().with("lockgate.toml", &own_key))),
            "lockgate.toml:10 peer.public_key: the peer edge-south has the public key of this node itself | write the key",
        ),
        (with_psk("short"), "lockgate.toml:13 peer.preshared_key: psk.key holds no key"),
        (
            key(folder()).with("policy.toml", ""),
            "policy.toml:0 : no policy: nothing passes | write  default = \"deny\"",
        ),
        (
            key(folder()).with("policy.toml", &with_line(POLICY, 11, "socket = \"pug\"")),
            "policy.toml:11 service.telemetry.socket: unknown socket type \"pug\" | did you mean \"pu",
        ),
    ] {
        let found = folder.mistakes();
        assert!(found.len() == 1 && found[0].starts_with(told), "{told}\n{found:#?}");
    }
    assert!(load(&with_psk(PRIVATE).config()).is_ok_and(|loaded| loaded.preshared_keys[0].is_some()));
}

#[test]
fn mistakes_in_all_files_are_told_at_once() {
    let config = with_line(&with_line(CONFIG, 5, "listen = \"here\""), 20, "connect = \"tcp://*:5556\"");
    let policy = with_line(&with_line(POLICY, 1, "default = \"allow\""), 20, "from = \"role=historan\"");
    let found = Folder::new().with("lockgate.toml", &config).with("policy.toml", &policy).mistakes();
    let places: Vec<&str> =
        found.iter().filter_map(|told| told.split_once(": ")).map(|(place, _)| place).collect();
    assert_eq!(
        places,
        [
            "lockgate.toml:3 node.key",
            "lockgate.toml:5 node.listen",
            "lockgate.toml:20 offer.connect",
            "policy.toml:1 default",
            "policy.toml:20 allow.from",
        ]
    );
}

#[test]
fn the_example_of_two_nodes_loads_and_each_may_do_what_it_says() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/two-nodes");
    let copy = |folder: Folder, name: &str| {
        let text =
            lockgate::machine::files::read_text(&examples.join(name), 1 << 16).expect("the example is there");
        folder.with(name, &text)
    };
    let mut folder = Folder::new().with_secret("north.key", PRIVATE).with_secret("south.key", PRIVATE);
    for name in ["edge-north.toml", "edge-south.toml", "policy.toml"] {
        folder = copy(folder, name);
    }
    for name in ["edge-north", "edge-south"] {
        let loaded =
            load(&folder.0.join(format!("{name}.toml"))).unwrap_or_else(|found| panic!("{found:#?}"));
        assert_eq!((loaded.config.name.as_str(), loaded.warnings.len()), (name, 0), "{:#?}", loaded.warnings);
    }
}
