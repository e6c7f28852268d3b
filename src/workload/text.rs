//! Real text as an endless stream of sentences.
//!
//! Words are runs of letters and digits (in any script; an apostrophe inside a word belongs to it)
//! in lower case, as usual in word counts. The text is replayed in a loop. By default it is the one
//! included in the `lipsum` crate: Cicero's *De finibus bonorum et malorum*, first book (Liber
//! Primus).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A sentence: words separated by one space.
pub type Sentence = Arc<str>;

/// Where sentences end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SentenceLength {
    /// At full stops, question and exclamation marks, as in the text.
    #[default]
    Natural,
    /// After exactly this many words.
    Words(usize),
}

/// Why a text cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It contains no word.
    #[error("expected text with at least one word, found none")]
    NoWords,
    /// A sentence length of 0 words was requested.
    #[error("expected sentences of at least one word")]
    NoLength,
    /// None of its words is in a hot bin.
    #[error("expected a text with words in hot bins, found none")]
    NoneHot,
}

/// A text cut into sentences.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Text {
    sentences: Vec<Sentence>,
}

impl Text {
    /// Cuts `text` into sentences.
    ///
    /// With a fixed length the looped text is cut: a sentence may end with the first words of the
    /// text, and the number of sentences is such that the loop closes.
    ///
    /// # Errors
    /// If the text has no word or the length is 0.
    pub fn new(text: &str, length: SentenceLength) -> Result<Text, TextError> {
        let sentences: Vec<Sentence> = match length {
            SentenceLength::Natural => {
                let sentences = text.split(['.', '?', '!', ';', '。', '！', '？']).map(|sentence| words(sentence).collect::<Vec<_>>());
                sentences.filter(|words| !words.is_empty()).map(|words| words.join(" ").into()).collect()
            }
            SentenceLength::Words(0) => return Err(TextError::NoLength),
            SentenceLength::Words(length) => {
                let words: Vec<String> = words(text).collect();
                // After lcm(words, length) words the cuts are at the same places again.
                let loops = length / gcd(words.len(), length).max(1);
                let looped: Vec<&str> = words.iter().cycle().take(words.len() * loops).map(String::as_str).collect();
                looped.chunks(length).map(|sentence| sentence.join(" ").into()).collect()
            }
        };
        if sentences.is_empty() { Err(TextError::NoWords) } else { Ok(Text { sentences }) }
    }

    /// The text of the `lipsum` crate.
    pub fn liber_primus(length: SentenceLength) -> Text {
        Text::new(lipsum::LIBER_PRIMUS, length).expect("Cicero wrote words")
    }

    /// A text of this many different words, all equally frequent.
    ///
    /// # Errors
    /// If the number of words or the length of a sentence is 0.
    pub fn even(words: usize, length: SentenceLength) -> Result<Text, TextError> {
        let words: Vec<String> = (0..words).map(|number| format!("w{number}")).collect();
        Text::new(&words.join(" "), length)
    }

    /// A text with as many words in as many sentences, in which the words with a `group` have
    /// `share` (0 to 1) of all occurrences: an equal part for each group, and within it for each of
    /// its words. The other words follow in the order of this text.
    ///
    /// # Errors
    /// If no word has a group.
    pub fn with_hot_words(&self, share: f64, group: impl Fn(&str) -> Option<u32>) -> Result<Text, TextError> {
        let mut groups: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        let (mut others, mut known) = (Vec::new(), BTreeSet::new());
        for word in self.sentences.iter().flat_map(|sentence| sentence.split(' ')) {
            match group(word) {
                Some(group) if known.insert(word) => groups.entry(group).or_default().push(word),
                Some(_) => {}
                None => others.push(word),
            }
        }
        let groups: Vec<Vec<&str>> = groups.into_values().collect();
        if groups.is_empty() {
            return Err(TextError::NoneHot);
        }
        let hot = |turn: usize| {
            let words = &groups[turn % groups.len()];
            words[turn / groups.len() % words.len()]
        };
        let (mut hot, mut others, mut owed) = ((0..).map(hot), others.into_iter().cycle(), 0.0);
        let mut next = |_: &str| {
            owed += share;
            let is_hot = owed >= 1.0;
            owed -= f64::from(u8::from(is_hot));
            let other = if is_hot { None } else { others.next() };
            other.or_else(|| hot.next()).expect("hot words do not end")
        };
        let sentences = self.sentences.iter().map(|sentence| sentence.split(' ').map(&mut next).collect::<Vec<_>>().join(" ").into());
        Ok(Text { sentences: sentences.collect() })
    }

    /// The `index`-th sentence of the looped text.
    pub fn sentence(&self, index: u64) -> Sentence {
        Arc::clone(&self.sentences[(index % self.sentences.len() as u64) as usize])
    }

    /// Number of sentences in one loop.
    pub fn sentences(&self) -> &[Sentence] {
        &self.sentences
    }

    /// Mean number of words in a sentence.
    pub fn words_per_sentence(&self) -> f64 {
        let words: usize = self.sentences.iter().map(|sentence| sentence.split(' ').count()).sum();
        words as f64 / self.sentences.len() as f64
    }
}

/// The words of a text, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let inside = |c: char| c.is_alphanumeric() || c == '\'' || c == '’';
    let words = text.split(move |c| !inside(c)).map(|word| word.trim_matches(['\'', '’']));
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn sentences_as_the_text_has_them_or_cut() {
        let natural = Text::new("Don't stop. Is it? «Été» — 42!", SentenceLength::Natural).unwrap();
        assert_eq!(natural.sentences().iter().map(|s| &**s).collect::<Vec<_>>(), ["don't stop", "is it", "été 42"]);
        let cut = Text::new("a b c", SentenceLength::Words(2)).unwrap();
        assert_eq!(cut.sentences().iter().map(|s| &**s).collect::<Vec<_>>(), ["a b", "c a", "b c"]);
        assert_eq!(&*cut.sentence(4), "c a");
        assert_eq!(Text::new(" ...", SentenceLength::Natural).unwrap_err(), TextError::NoWords);
        assert_eq!(Text::new("", SentenceLength::Words(2)).unwrap_err(), TextError::NoWords);
    }

    #[test]
    fn words_that_are_made_up_are_all_as_frequent() {
        let text = Text::even(6, SentenceLength::Words(4)).unwrap();
        assert_eq!(text.sentences().iter().map(|s| &**s).collect::<Vec<_>>(), ["w0 w1 w2 w3", "w4 w5 w0 w1", "w2 w3 w4 w5"]);
        assert_eq!(Text::even(0, SentenceLength::Natural).unwrap_err(), TextError::NoWords);
    }

    #[test]
    fn hot_words_have_their_share_and_the_others_keep_their_order() {
        let text = Text::new("a b c d e f. g h i j", SentenceLength::Natural).unwrap();
        let group = |word: &str| match word {
            "a" | "b" => Some(7),
            "c" => Some(3),
            _ => None,
        };
        let hot = text.with_hot_words(0.5, group).unwrap();
        assert_eq!(hot.sentences().iter().map(|sentence| &**sentence).collect::<Vec<_>>(), ["d c e a f c", "g b h c"]);
        assert_eq!(text.with_hot_words(0.5, |_| None).unwrap_err(), TextError::NoneHot);
        let none = text.with_hot_words(0.0, group).unwrap();
        assert_eq!(&*none.sentence(0), "d e f g h i");
        let only = text.with_hot_words(0.0, |_| Some(0)).unwrap();
        assert_eq!(&*only.sentence(0), "a b c d e f");
    }

    #[test]
    fn the_default_text_is_what_the_experiments_say_it_is() {
        let text = Text::liber_primus(SentenceLength::Words(20));
        assert!(text.sentences().iter().all(|sentence| sentence.split(' ').count() == 20));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let natural = Text::liber_primus(SentenceLength::Natural);
        let words = natural.sentences().iter().flat_map(|sentence| sentence.split(' '));
        words.for_each(|word| *counts.entry(word).or_default() += 1);
        let (total, most) = (counts.values().sum::<usize>(), *counts.values().max().unwrap());
        assert_eq!((total, counts.len()), (7171, 2716));
        assert!((most as f64 / total as f64 - 0.032).abs() < 0.0005);
    }
}
