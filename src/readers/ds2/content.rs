//! The files of one dataflow, and errors in them.

use std::path::Path;

use super::operator_rates::{InstanceRates, OperatorRates};
use crate::readers::ReadError;
use crate::readers::error::{Place, excerpt};

/// A file read into memory.
#[derive(Clone, Copy, Debug)]
pub struct Content<'f> {
    /// Its name in errors.
    pub path: &'f Path,
    /// Its content.
    pub bytes: &'f [u8],
}

/// The files of one dataflow.
#[derive(Clone, Copy, Debug)]
pub struct Files<'f> {
    /// Operators and edges.
    pub topology: Content<'f>,
    /// Rates by operator, instance and time.
    pub rates: Content<'f>,
    /// Target rates of sources, by source and instance.
    pub source_rates: Option<Content<'f>>,
    /// Upper bounds on the processing rates of operators, by operator and instance.
    pub operator_rates: Option<Content<'f>>,
}

/// An upper bound on measured rates, so that sums stay finite.
const MOST_PER_SECOND: f64 = 1e18;

impl<'f> Content<'f> {
    pub(super) fn wrong(&self, line: u64, expected: impl Into<String>, found: impl Into<String>) -> ReadError {
        ReadError::Damaged { file: self.path.to_owned(), place: Place::Line(line), expected: expected.into(), found: found.into() }
    }

    /// Lines that are neither empty nor comments, without surrounding blanks, with their numbers.
    pub(super) fn lines(&self) -> impl Iterator<Item = Result<(u64, &'f str), ReadError>> + '_ {
        let bytes = self.bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(self.bytes);
        let numbered = (1..).zip(bytes.split(|&byte| byte == b'\n'));
        numbered.filter_map(move |(number, line)| match std::str::from_utf8(line) {
            Ok(text) => Some(text.trim()).filter(|text| !text.is_empty() && !text.starts_with('#')).map(|text| Ok((number, text))),
            Err(why) => {
                let byte = line[why.valid_up_to()];
                Some(Err(self.wrong(number, "text in UTF-8", format!("the byte 0x{byte:02x}"))))
            }
        })
    }

    /// The number of the last line.
    pub(super) fn last_line(&self) -> u64 {
        let end = self.bytes.strip_suffix(b"\n").unwrap_or(self.bytes);
        1 + end.iter().filter(|&&byte| byte == b'\n').count() as u64
    }

    /// A rate, if the text is one.
    pub(super) fn rate(&self, line: u64, what: &str, text: &str) -> Result<f64, ReadError> {
        let rate = text.trim().parse::<f64>().ok().filter(|rate| (0.0..=MOST_PER_SECOND).contains(rate));
        rate.ok_or_else(|| self.wrong(line, format!("{what}, in records/s from 0 to 1e18"), quoted(text)))
    }

    /// The rates of a row: true processing, true output, observed processing and observed output. A
    /// true rate that is no number, as that of an instance with nothing to do (0 records in 0 s), is
    /// that of an idle one; nothing may have been observed then.
    pub(super) fn rates(&self, line: u64, texts: [&str; 4]) -> Result<InstanceRates, ReadError> {
        let [true_processing, true_output, observed_processing, observed_output] = texts;
        let is_none = |text: &str| text.trim().trim_start_matches('-').eq_ignore_ascii_case("nan");
        let is_idle = is_none(true_processing) || is_none(true_output);
        let observed = |what, text: &str| if is_idle && is_none(text) { Ok(0.0) } else { self.rate(line, what, text) };
        let observed_processing = observed("an observed processing rate", observed_processing)?;
        let observed_output = observed("an observed output rate", observed_output)?;
        let is_idle = is_idle && observed_processing == 0.0 && observed_output == 0.0;
        let of = |what, text: &str| if is_idle && is_none(text) { Ok(0.0) } else { self.rate(line, what, text) };
        let rates = OperatorRates {
            true_processing: of("a true processing rate", true_processing)?,
            true_output: of("a true output rate", true_output)?,
            observed_processing,
            observed_output,
        };
        Ok(InstanceRates { rates, is_idle })
    }

    pub(super) fn within_range(&self, line: u64, rate: f64) -> Result<f64, ReadError> {
        if rate <= MOST_PER_SECOND {
            Ok(rate)
        } else {
            Err(self.wrong(line, "a rate of at most 1e18 records/s over all instances", format!("{rate:e}")))
        }
    }
}

/// The text that was found, truncated for an error message.
pub(super) fn quoted(text: &str) -> String {
    excerpt(text.as_bytes())
}
