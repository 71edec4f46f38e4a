//! Many questions with the answers of one policy, each asked once.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::scope::{Key, Scope};
use super::universe::Question;
use crate::rules::{Between, RuleRef, Rules};

/// Questions in an order (the shortest first, wherever that matters), and by which rule each passes.
pub(super) struct Table<'p> {
    questions: Vec<Question<'p>>,
    /// Who asks about whom, by its place in `pairs`.
    pairs_of: Vec<u32>,
    pairs: Vec<Parties<'p>>,
    keys: BTreeMap<Key<'p>, Vec<u32>>,
    /// Of each question: 0 where it does not pass, else the place in `rules` behind that of its rule.
    answers: Vec<u32>,
    rules: Vec<RuleRef>,
}

/// From, to, and what the one holds.
type Parties<'p> = (&'p str, &'p str, Vec<&'p str>);

/// The rules between those who ask and those who are asked about, each folded when it is first needed.
pub(super) struct Folded<'r> {
    rules: &'r Rules,
    pairs: Vec<Option<Box<Between<'r>>>>,
}

impl<'p> Table<'p> {
    /// Asks `rules` everything.
    pub(super) fn new(questions: Vec<Question<'p>>, rules: &Rules) -> Self {
        let mut places: BTreeMap<Parties<'p>, u32> = BTreeMap::new();
        let (mut keys, mut pairs_of): (BTreeMap<Key<'p>, Vec<u32>>, _) = (BTreeMap::new(), Vec::new());
        for (at, question) in (0..).zip(&questions) {
            keys.entry(Scope::key(&question.what)).or_default().push(at);
            let next = u32::try_from(places.len()).unwrap_or(u32::MAX);
            pairs_of.push(*places.entry((question.from, question.to, question.hold.clone())).or_insert(next));
        }
        let mut pairs: Vec<(u32, Parties<'p>)> = places.into_iter().map(|(pair, at)| (at, pair)).collect();
        pairs.sort_by_key(|(at, _)| *at);
        let pairs = pairs.into_iter().map(|(_, pair)| pair).collect();
        let mut table = Self { questions, pairs_of, pairs, keys, answers: Vec::new(), rules: Vec::new() };
        table.answer(rules);
        table
    }

    /// Pair by pair, so that never more than one is folded at a time.
    fn answer(&mut self, rules: &Rules) {
        let mut of_pairs: Vec<Vec<u32>> = self.pairs.iter().map(|_| Vec::new()).collect();
        for (at, pair) in (0..).zip(&self.pairs_of) {
            of_pairs[*pair as usize].push(at);
        }
        self.answers = self.questions.iter().map(|_| 0).collect();
        let mut known: BTreeMap<RuleRef, u32> = BTreeMap::new();
        for ((from, to, hold), questions) in self.pairs.iter().zip(of_pairs) {
            let between = rules.between_holding(from, to, hold);
            for at in questions {
                let Some(rule) = between.permits(self.questions[at as usize].what) else { continue };
                let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
                self.answers[at as usize] = 1 + *known.entry(rule).or_insert(next);
            }
        }
        let mut rules: Vec<(u32, RuleRef)> = known.into_iter().map(|(rule, at)| (at, rule)).collect();
        rules.sort_by_key(|(at, _)| *at);
        self.rules = rules.into_iter().map(|(_, rule)| rule).collect();
    }

    /// All questions, in their order.
    pub(super) fn questions(&self) -> &[Question<'p>] {
        &self.questions
    }

    pub(super) fn question(&self, at: u32) -> &Question<'p> {
        &self.questions[at as usize]
    }

    /// Whether it passes.
    pub(super) fn passes(&self, at: u32) -> bool {
        self.answers[at as usize] != 0
    }

    /// The rule by which it passes.
    pub(super) fn rule(&self, at: u32) -> Option<&RuleRef> {
        let place = self.answers[at as usize].checked_sub(1)?;
        self.rules.get(place as usize)
    }

    /// The first that passes by each rule.
    pub(super) fn first_by_rule(&self) -> BTreeMap<&RuleRef, u32> {
        let mut first = BTreeMap::new();
        let mut seen: Vec<bool> = self.rules.iter().map(|_| false).collect();
        for (at, answer) in (0..).zip(&self.answers) {
            let Some(place) = answer.checked_sub(1).map(|place| place as usize) else { continue };
            if !core::mem::replace(&mut seen[place], true) {
                first.insert(&self.rules[place], at);
            }
        }
        first
    }

    /// Those of a key, in their order.
    pub(super) fn of(&self, key: Key<'p>) -> &[u32] {
        self.keys.get(&key).map_or(&[], Vec::as_slice)
    }

    /// What other rules say to it.
    pub(super) fn passes_under(&self, folded: &mut Folded<'_>, at: u32) -> bool {
        let pair = self.pairs_of[at as usize] as usize;
        let rules = folded.rules;
        let (from, to, hold) = &self.pairs[pair];
        let between =
            folded.pairs[pair].get_or_insert_with(|| Box::new(rules.between_holding(from, to, hold)));
        between.permits(self.questions[at as usize].what).is_some()
    }

    /// Other rules for [`Self::passes_under`].
    pub(super) fn folded<'r>(&self, rules: &'r Rules) -> Folded<'r> {
        Folded { rules, pairs: self.pairs.iter().map(|_| None).collect() }
    }

    /// The first question in `scope` that other rules answer otherwise.
    pub(super) fn differing(&self, scope: &Scope, rules: &Rules) -> Option<u32> {
        let mut folded = self.folded(rules);
        let mut first: Option<u32> = None;
        for (_, asked) in self.keys.iter().filter(|(key, _)| scope.has_key(key)) {
            let before = asked.iter().take_while(|at| first.is_none_or(|first| **at < first));
            let mut before = before.copied();
            first = before.find(|at| self.passes_under(&mut folded, *at) != self.passes(*at)).or(first);
        }
        first
    }
}
