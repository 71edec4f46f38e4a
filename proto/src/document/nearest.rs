//! Which known word was probably meant.

use alloc::vec::Vec;

/// The known word nearest to `word` by edit distance, if it is near enough to be a slip of the hand. Of a great many known
/// words only the first thousand are looked at.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let within = 1 + word.chars().count() / 3;
    known
        .into_iter()
        .take(MOST_COMPARED)
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= within)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(above.len());
        row.push(i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = above[j] + usize::from(from != to);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = core::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// A file may know tens of thousands of names, and ask for as many that it does not know.
const MOST_COMPARED: usize = 1000;

/// Longer words are compared with nothing: the work grows with the product of the lengths.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["socket", "sockets", "topics", "hosted-by", "max-message"];
        for (word, found) in [
            ("scoket", Some("socket")),
            ("Topics", Some("topics")),
            ("topic", Some("topics")),
            ("hosted_by", Some("hosted-by")),
            ("maxmessage", Some("max-message")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), found, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
    }

    #[test]
    fn of_a_great_many_words_only_the_first_are_looked_at() {
        let many = || core::iter::repeat_n("quite-another", MOST_COMPARED - 1);
        assert_eq!(nearest("scoket", many().chain(["socket"])), Some("socket"));
        assert_eq!(nearest("scoket", many().chain(["quite-another", "socket"])), None);
        let mut looked_at = 0;
        assert_eq!(nearest("scoket", many().cycle().inspect(|_| looked_at += 1)), None);
        assert_eq!(looked_at, MOST_COMPARED);
    }

    #[test]
    fn a_swap_of_neighbours_counts_as_one() {
        for (a, b, steps) in [("ab", "ba", 1), ("abc", "abc", 0), ("", "abc", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), steps, "{a} {b}");
        }
    }
}
