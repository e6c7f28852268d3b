//! Real text as an endless stream of sentences.
//!
//! Words are runs of letters and digits (any script; an apostrophe inside a word belongs to it), in lower case, as word
//! counts do. The text is read in a loop. By default it is the one that the `lipsum` crate carries: Cicero's *De finibus
//! bonorum et malorum*, first book (Liber Primus).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A sentence: words separated by one space.
pub type Sentence = Arc<str>;

/// Where sentences end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SentenceLength {
    /// At full stops, question and exclamation marks, as the text has them.
    #[default]
    Natural,
    /// After exactly so many words, wherever that is.
    Words(usize),
}

/// Why a text cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// There is no word in it.
    #[error("expected text with at least one word, found none")]
    NoWords,
    /// A sentence of no words is asked for.
    #[error("expected sentences of at least one word")]
    NoLength,
}

/// A text cut into sentences.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Text {
    sentences: Vec<Sentence>,
}

impl Text {
    /// Cuts `text` into sentences.
    ///
    /// Exact lengths cut the looped text: a sentence may end with the first words of the text, and the number of sentences is
    /// such that the loop closes.
    ///
    /// # Errors
    /// When the text has no word or the length is 0.
    pub fn new(text: &str, length: SentenceLength) -> Result<Text, TextError> {
        let sentences: Vec<Sentence> = match length {
            SentenceLength::Natural => {
                let sentences = text.split(['.', '?', '!', ';', '。', '！', '？']).map(|sentence| words(sentence).collect::<Vec<_>>());
                sentences.filter(|words| !words.is_empty()).map(|words| words.join(" ").into()).collect()
            }
            SentenceLength::Words(0) => return Err(TextError::NoLength),
            SentenceLength::Words(length) => {
                let words: Vec<String> = words(text).collect();
                // After lcm(words, length) words the cuts fall on the same places again.
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

    /// The `index`-th sentence of the looped text.
    pub fn sentence(&self, index: u64) -> Sentence {
        Arc::clone(&self.sentences[(index % self.sentences.len() as u64) as usize])
    }

    /// Sentences of one loop.
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
