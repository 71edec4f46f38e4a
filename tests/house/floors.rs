//! The floor plan of ARCHITECTURE.md, and which rooms a file imports.

use std::collections::{BTreeMap, BTreeSet};

/// The crates, the lowest first, and the name that others import each by.
pub(crate) const CRATES: [(&str, &str); 3] =
    [("proto", "lockgate_proto"), ("broker", "lockgate_broker"), ("node", "lockgate")];
/// The floor plan: how high each room is, and in which wing.
pub(crate) struct Floors {
    rooms: BTreeMap<(String, String), (usize, Wing)>,
    never: BTreeSet<Arrow>,
    except: BTreeSet<Arrow>,
}

/// Crate, from, to.
type Arrow = (String, String, String);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wing {
    Common,
    Left,
    Right,
}

impl Floors {
    pub(crate) fn parse(text: &str) -> Self {
        let plan = text.split_once("```floors\n").expect("a block of floors").1;
        let plan = plan.split_once("```").expect("its end").0;
        let mut floors = Self { rooms: BTreeMap::new(), never: BTreeSet::new(), except: BTreeSet::new() };
        for (depth, line) in plan.lines().enumerate() {
            let (head, rest) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} is no floor"));
            match head.split_once(' ') {
                Some(("never", krate)) => floors.never.insert(arrow(krate, rest)),
                Some(("except", krate)) => floors.except.insert(arrow(krate, rest)),
                Some(_) => panic!("{line:?} is no floor"),
                None => floors.add(head, rest, usize::MAX - depth),
            };
        }
        floors
    }

    fn add(&mut self, krate: &str, rooms: &str, height: usize) -> bool {
        let (left, right) = rooms.split_once('|').unwrap_or((rooms, ""));
        let left_wing = if right.is_empty() { Wing::Common } else { Wing::Left };
        for (side, wing) in [(left, left_wing), (right, Wing::Right)] {
            for room in side.split_whitespace() {
                self.rooms.insert((krate.to_owned(), room.to_owned()), (height, wing));
            }
        }
        true
    }

    /// Why `from` may not import `to`; `None` where it may.
    pub(crate) fn forbid(&self, from: (&str, &str), to: (&str, &str)) -> Option<&'static str> {
        let owned = |(krate, room): (&str, &str)| (krate.to_owned(), room.to_owned());
        let own_arrow = (from.0.to_owned(), from.1.to_owned(), to.1.to_owned());
        let Some((height, wing)) = self.rooms.get(&owned(from)) else {
            return Some("the importing room is on no floor");
        };
        if from.0 != to.0 {
            let rank = |krate: &str| CRATES.iter().position(|(name, _)| *name == krate);
            return (rank(from.0) <= rank(to.0)).then_some("a higher crate");
        }
        if from.1 == to.1 || self.except.contains(&own_arrow) {
            return None;
        }
        let Some((to_height, to_wing)) = self.rooms.get(&owned(to)) else {
            return Some("the imported room is on no floor");
        };
        if self.never.contains(&own_arrow) {
            return Some("the plan says never");
        }
        if *wing != Wing::Common && *to_wing != Wing::Common && wing != to_wing {
            return Some("the other wing");
        }
        (to_height >= height).then_some("not below")
    }
}

fn arrow(krate: &str, rest: &str) -> Arrow {
    let (from, to) = rest.split_once(" -> ").unwrap_or_else(|| panic!("{rest:?} is no arrow"));
    (krate.to_owned(), from.trim().to_owned(), to.trim().to_owned())
}

/// The rooms that a file's code names, by crate, in order of name.
pub(crate) fn imports(text: &str, own: &str) -> BTreeSet<(String, String)> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut found = BTreeSet::new();
    let names = CRATES.map(|(krate, name)| (krate, format!("{name}::")));
    for (krate, prefix) in [(own, "crate::".to_owned())].into_iter().chain(names) {
        for (at, _) in code.match_indices(&prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            for room in heads(&code[at + prefix.len()..]) {
                found.insert((krate.to_owned(), room));
            }
        }
    }
    found
}

/// The first names of a path, or of each path in a group `{a::b, c}`; only lower-case names are rooms.
fn heads(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let is_room = |name: &String| name.starts_with(|c: char| c.is_ascii_lowercase());
    let Some(group) = path.strip_prefix('{') else {
        return Some(word(path)).filter(is_room).into_iter().collect();
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(word(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(is_room);
    names
}

#[test]
fn the_floor_test_sees_an_upward_arrow() {
    let floors = Floors::parse(
        "```floors\nnode: commands\nnode: a b\nnode: machine\nproto: device | rules\nproto: wire\nnever node: a -> machine\nexcept node: machine -> b\n```\n",
    );
    for (from, to, allowed) in [
        (("node", "commands"), ("node", "machine"), true),
        (("node", "machine"), ("node", "commands"), false),
        (("node", "machine"), ("node", "b"), true),
        (("node", "a"), ("node", "b"), false),
        (("node", "a"), ("node", "a"), true),
        (("node", "a"), ("node", "machine"), false),
        (("node", "machine"), ("proto", "device"), true),
        (("proto", "device"), ("node", "machine"), false),
        (("proto", "device"), ("proto", "rules"), false),
        (("proto", "rules"), ("proto", "wire"), true),
        (("proto", "attic"), ("proto", "wire"), false),
    ] {
        assert_eq!(floors.forbid(from, to).is_none(), allowed, "{from:?} -> {to:?}");
    }
    let text =
        "use crate::{a::B, c};\nuse lockgate_proto::keys::Key;\n// crate::comment\nlet x = crate::d::y();";
    let found: Vec<String> =
        imports(text, "node").into_iter().map(|(krate, room)| format!("{krate}/{room}")).collect();
    assert_eq!(found, ["node/a", "node/c", "node/d", "proto/keys"]);
}
