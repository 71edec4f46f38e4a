//! Scripts, compiled once each while there is room.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use lockgate_proto::script::{Dialect, Options, Script};

use super::super::compile::complaint;
use crate::machine::files;

/// What was compiled or refused, by text and by path.
#[derive(Default)]
pub(super) struct Scripts {
    texts: BTreeMap<String, Compiled>,
    paths: BTreeMap<String, Compiled>,
    /// The bytes of all of them.
    bytes: usize,
}

type Compiled = Result<Rc<Script>, String>;

impl Scripts {
    /// The script of this text.
    pub(super) fn of(&mut self, text: &str) -> Compiled {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        self.make_room(text.len());
        let compiled = compile(text, "rules");
        self.texts.insert(text.to_owned(), compiled.clone());
        compiled
    }

    /// The script in this file.
    pub(super) fn at(&mut self, path: &Path) -> Compiled {
        let name = path.display().to_string();
        if let Some(known) = self.paths.get(&name) {
            return known.clone();
        }
        let text = files::read_text(path, super::super::MOST_SCRIPT)
            .map_err(|error| format!("{} ({})", error.problem(path), error.mend(path)));
        self.make_room(text.as_ref().map_or(0, String::len));
        let compiled = text.and_then(|text| compile(&text, &name));
        self.paths.insert(name, compiled.clone());
        compiled
    }

    /// Forgets all of them when they become too many.
    fn make_room(&mut self, more: usize) {
        if self.bytes + more > MOST_BYTES || self.texts.len() + self.paths.len() >= MOST_SCRIPTS {
            *self = Self::default();
        }
        self.bytes += more;
    }
}

/// A text that is ZeroTier's is taken as ZeroTier takes it, down to the spelling of addresses; any other as ours.
fn compile(text: &str, file: &str) -> Compiled {
    let script = Script::compile(text, &Options::new(file, Dialect::ZeroTier))
        .or_else(|_| Script::compile(text, &Options::new(file, Dialect::Lockgate)));
    script.map(Rc::new).map_err(|mistakes| {
        let all: Vec<String> = mistakes.iter().map(|mistake| complaint(file, "error", mistake)).collect();
        all.join("\n")
    })
}

const MOST_BYTES: usize = 4 << 20;
const MOST_SCRIPTS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_compiled_once_and_many_texts_stay_bounded() {
        let mut scripts = Scripts::default();
        let first = scripts.of("accept dport 1;").unwrap();
        assert!(Rc::ptr_eq(&first, &scripts.of("accept dport 1;").unwrap()));
        assert!(scripts.of("accept dport one;").unwrap_err().starts_with("rules:1:"));
        for port in 0..2 * MOST_SCRIPTS {
            let script = scripts.of(&format!("accept dport {port};")).unwrap();
            assert_eq!(script.rules.entries().len(), 2);
            assert!(scripts.texts.len() <= MOST_SCRIPTS);
        }
    }
}
