//! Limits of what a file may name, so that memory is bounded.

use super::rest::Refused;

/// The most operators, channels and open epochs of a file.
const MOST_NAMED: usize = 1 << 16;

/// A number that is one of at most `most`.
pub(super) fn id(number: u64, most: u64, what: &str) -> Result<u32, Refused> {
    let small = u32::try_from(number).ok().filter(|_| number <= most);
    small.ok_or_else(|| (format!("{what} with a number of at most {most}"), number.to_string()))
}

/// Refuses one more of what there are too many.
pub(super) fn room(used: usize, what: &str) -> Result<(), Refused> {
    if used < MOST_NAMED { Ok(()) } else { Err((format!("at most {MOST_NAMED} {what}"), "another".to_owned())) }
}
