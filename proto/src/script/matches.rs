//! The matches of a rule: `not`, `and`, `or`, groups, and what each asks.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;

use super::Dialect;
use super::names::{KEYWORDS, is_reserved};
use super::rules::{Compiler, Draft, FOREIGN, Values};
use super::tokens::Word;
use crate::document::{nearest, quoted};
use crate::program::{Action, Characteristics, Entry, Join, List, Sense, Test};

/// Reads the matches of one rule.
pub(super) struct Matches<'c, 'v, 'o, 'n, 't> {
    pub(super) compiler: &'c mut Compiler<'o, 'n, 't>,
    values: &'v Values<'t>,
    pieces: Vec<Word<'t>>,
    at: usize,
    open: Vec<Group<'t>>,
    /// What waits for a match.
    or: Option<Word<'t>>,
    and: Option<Word<'t>>,
    not: Option<Word<'t>>,
    /// Whether nothing stands before it in its rule or group.
    is_first: bool,
    is_right: bool,
    about: About<'t>,
}

/// A group that is not closed yet.
struct Group<'t> {
    word: Word<'t>,
    start: usize,
    /// Whether its contents are negated.
    flip: bool,
}

/// The first match of a rule that asks about messages, and the first about packets.
#[derive(Default)]
struct About<'t> {
    messages: Option<Word<'t>>,
    packets: Option<Word<'t>>,
}

/// The rule is over: what follows cannot be read.
pub(super) struct Stop;

impl<'c, 'v, 'o, 'n, 't> Matches<'c, 'v, 'o, 'n, 't> {
    pub(super) fn new(
        compiler: &'c mut Compiler<'o, 'n, 't>,
        values: &'v Values<'t>,
        words: &[Word<'t>],
    ) -> Self {
        let pieces = match compiler.dialect() {
            Dialect::ZeroTier => words.to_vec(),
            Dialect::Lockgate => pieces(words),
        };
        Self {
            compiler,
            values,
            pieces,
            at: 0,
            open: Vec::new(),
            or: None,
            and: None,
            not: None,
            is_first: true,
            is_right: true,
            about: About::default(),
        }
    }

    /// Reads all of them into `draft`; whether they are right.
    pub(super) fn read(mut self, action: &Action, draft: &mut Draft) -> bool {
        while let Some(word) = self.next() {
            if self.compiler.notes.is_full() || self.word(&word, draft).is_err() {
                return false;
            }
        }
        self.finish_dangling();
        if let Some(group) = self.open.last() {
            let word = group.word;
            self.refuse(&word, "this ( is not closed".to_owned(), "write  )  before the end of the rule");
        }
        self.check_subject(action);
        self.is_right
    }

    pub(super) fn next(&mut self) -> Option<Word<'t>> {
        let word = self.pieces.get(self.at).copied();
        self.at += usize::from(word.is_some());
        word
    }

    /// The next word where it is this one.
    pub(super) fn next_if(&mut self, text: &str) -> Option<Word<'t>> {
        let word = self.pieces.get(self.at).copied().filter(|word| word.text == text);
        self.at += usize::from(word.is_some());
        word
    }

    /// What follows a keyword: the word, and what it stands for in a macro.
    pub(super) fn argument(&mut self, keyword: &Word<'t>) -> Result<(Word<'t>, &'t str), Stop> {
        match self.pieces.get(self.at).copied() {
            Some(word) if !is_reserved(word.text) && !matches!(word.text, "(" | ")") => {
                self.at += 1;
                let Some(value) = self.values.get(word.text).copied() else { return Ok((word, word.text)) };
                if self.compiler.charge(&word, value.len()).is_break() {
                    self.is_right = false;
                    return Err(Stop);
                }
                Ok((word, value))
            }
            _ => {
                let problem = format!("{} of what?", quoted(keyword.text));
                self.refuse(keyword, problem, "write its value behind it; words of the language are none");
                Err(Stop)
            }
        }
    }

    /// A mistake that ZeroTier's compiler finds too.
    pub(super) fn refuse(&mut self, word: &Word<'_>, problem: alloc::string::String, mend: &str) {
        self.is_right = false;
        self.compiler.notes.refuse(word, problem, mend);
    }

    /// A mistake that it compiles.
    pub(super) fn ours(&mut self, word: &Word<'_>, problem: &str, mend: &str) {
        self.is_right = false;
        self.compiler.notes.ours(word, problem, mend);
    }

    /// A value that cannot be what `keyword` asks for.
    pub(super) fn garbage<T>(
        &mut self,
        (word, text): (Word<'t>, &str),
        keyword: &str,
        mend: &str,
    ) -> Option<T> {
        self.is_right = false;
        self.compiler.garbage(&word, text, keyword, mend);
        None
    }

    fn word(&mut self, word: &Word<'t>, draft: &mut Draft) -> Result<(), Stop> {
        let lower = word.text.to_lowercase();
        match lower.as_str() {
            "and" => self.and = Some(*word),
            "not" => self.not = Some(*word),
            "or" if self.is_first => {
                self.ours(
                    word,
                    "\"or\" stands before the first match",
                    "remove it: ZeroTier takes such a rule as true for everything",
                );
            }
            "or" => self.or = Some(*word),
            "(" if self.compiler.dialect() == Dialect::Lockgate => return self.open(word, draft),
            ")" if self.compiler.dialect() == Dialect::Lockgate => return self.close(word, draft),
            keyword => {
                if !self.is_keyword(keyword) {
                    self.unknown(word);
                    return Err(Stop);
                }
                let at = draft.entries.len();
                let test = self.test(word, keyword, (at, draft))?;
                let (join, sense) = self.joined();
                if let Some(test) = test {
                    self.note_subject(word, &test);
                    draft.entries.push(Entry::Match { join, sense, test });
                } else {
                    self.is_right = false;
                }
                self.is_first = false;
            }
        }
        Ok(())
    }

    /// How the next match is joined. In a group that is negated all is the other way round (De Morgan).
    fn joined(&mut self) -> (Join, Sense) {
        let flip = self.open.last().is_some_and(|group| group.flip);
        let is_or = self.or.take().is_some() != (flip && !self.is_first);
        let is_not = self.not.take().is_some() != flip;
        self.and = None;
        (if is_or { Join::Or } else { Join::And }, if is_not { Sense::Not } else { Sense::Plain })
    }

    fn open(&mut self, word: &Word<'t>, draft: &mut Draft) -> Result<(), Stop> {
        if self.open.len() == List::DEEPEST {
            let problem = format!("groups stand more than {} deep", List::DEEPEST);
            self.refuse(word, problem, "write several rules");
            return Err(Stop);
        }
        let (join, sense) = self.joined();
        self.open.push(Group { word: *word, start: draft.entries.len(), flip: sense == Sense::Not });
        draft.entries.push(Entry::Open { join, skip: 0 });
        self.is_first = true;
        Ok(())
    }

    fn close(&mut self, word: &Word<'t>, draft: &mut Draft) -> Result<(), Stop> {
        self.finish_dangling();
        let Some(group) = self.open.pop() else {
            self.refuse(word, "this ) closes nothing".to_owned(), "write a  (  for it, or remove it");
            return Err(Stop);
        };
        if self.is_first {
            self.refuse(
                word,
                "there is nothing in this group".to_owned(),
                "write a match in it, or remove it",
            );
        }
        let count = draft.entries.len() - group.start;
        // What is too long for a list is refused as a whole.
        let length = u16::try_from(count).unwrap_or(u16::MAX);
        if let Some(Entry::Open { skip, .. }) = draft.entries.get_mut(group.start) {
            *skip = length;
        }
        draft.entries.push(Entry::Close);
        self.is_first = false;
        Ok(())
    }

    /// Upstream ignores what stands before nothing.
    fn finish_dangling(&mut self) {
        let waiting = [self.not.take(), self.or.take(), self.and.take()];
        if let Some(word) = waiting.into_iter().flatten().next() {
            self.ours(
                &word,
                &format!("{} stands before nothing", quoted(word.text)),
                "write a match behind it, or remove it",
            );
        }
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        KEYWORDS.contains(&keyword)
            || (self.compiler.dialect() == Dialect::Lockgate && OUR_KEYWORDS.contains(&keyword))
    }

    fn unknown(&mut self, word: &Word<'t>) {
        let is_ours = |text: &str| OUR_KEYWORDS.contains(&text) || text == "as" || text.starts_with('(');
        let mend = if self.compiler.dialect() == Dialect::ZeroTier && is_ours(word.text) {
            FOREIGN.to_owned()
        } else if super::tokens::is_opener(word.text, self.compiler.dialect()) {
            let name = match self.compiler.dialect() {
                Dialect::ZeroTier => "",
                Dialect::Lockgate => ", unless it has a name:  as NAME",
            };
            format!(
                "end the rule before it with  ;  (an action without a match can only be the last rule of all{name})"
            )
        } else {
            match nearest(word.text, KEYWORDS.into_iter().chain(OUR_KEYWORDS)) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => "a match begins with a word such as  dport  or  ipsrc".to_owned(),
            }
        };
        self.refuse(word, format!("{} is no match", quoted(word.text)), &mend);
    }

    fn note_subject(&mut self, word: &Word<'t>, test: &Test) {
        match test {
            Test::Zmq(_) => self.about.messages = self.about.messages.or(Some(*word)),
            Test::SourceNode(_)
            | Test::DestinationNode(_)
            | Test::From(_)
            | Test::To(_)
            | Test::Tag { .. } => {}
            Test::Characteristics(Characteristics::INBOUND) => {}
            _ => self.about.packets = self.about.packets.or(Some(*word)),
        }
    }

    /// A rule is about messages or about packets.
    fn check_subject(&mut self, action: &Action) {
        let Some(message) = self.about.messages else { return };
        if let Some(packet) = self.about.packets {
            let problem =
                format!("{} is about packets, {} about messages", quoted(packet.text), quoted("zmq"));
            self.ours(&packet, &problem, "write two rules: nothing is both");
        }
        if !matches!(action, Action::Accept | Action::Drop | Action::Break) {
            let mend = "remove the zmq matches: that is for packets only";
            self.ours(&message, "messages are neither copied, redirected nor logged by rules", mend);
        }
    }
}

/// Words with each parenthesis one of its own.
fn pieces<'t>(words: &[Word<'t>]) -> Vec<Word<'t>> {
    let mut pieces = Vec::with_capacity(words.len());
    for word in words {
        let (mut start, mut column) = (0, word.column);
        let mut piece = |from: usize, to: usize, column: &mut u32| {
            let text = &word.text[from..to];
            if !text.is_empty() {
                pieces.push(Word { text, column: *column, ..*word });
                *column = column.saturating_add(u32::try_from(text.chars().count()).unwrap_or(u32::MAX));
            }
        };
        for (at, _) in word.text.match_indices(['(', ')']) {
            piece(start, at, &mut column);
            piece(at, at + 1, &mut column);
            start = at + 1;
        }
        piece(start, word.text.len(), &mut column);
    }
    pieces
}

const OUR_KEYWORDS: [&str; 5] = ["established", "from", "to", "zmq", "zmtp"];
