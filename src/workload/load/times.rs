//! Times as files write them: dates, or numbers since some beginning.

/// A time as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Written {
    /// Seconds of a date since 1970.
    Date(f64),
    /// A number, in some unit.
    Number(f64),
}

/// Numbers from which on a time since 1970 is in milliseconds, microseconds and nanoseconds: as
/// seconds, the first of them would be in the year 5138.
const UNITS: [(f64, f64); 3] = [(1e17, 1e9), (1e14, 1e6), (1e11, 1e3)];

/// The time that a cell holds, if it is one. Dates without a zone are in UTC.
pub(super) fn written(cell: &str) -> Option<Written> {
    if let Ok(number) = cell.parse::<f64>() {
        return number.is_finite().then_some(Written::Number(number));
    }
    let seconds = |at: jiff::Timestamp| Written::Date(at.as_second() as f64 + f64::from(at.subsec_nanosecond()) / 1e9);
    if let Ok(at) = cell.parse::<jiff::Timestamp>() {
        return Some(seconds(at));
    }
    let local: jiff::civil::DateTime = cell.parse().ok()?;
    local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| seconds(at.timestamp()))
}

/// Times of one file: all of them dates, or numbers in the unit that the first of them tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    first: Option<(Written, f64)>,
}

impl Times {
    /// The next time in seconds, or what was expected.
    pub(super) fn take(&mut self, cell: &str) -> Result<f64, String> {
        let expected = || format!("expected a time such as 2026-11-30 17:00:00 or 1661724000, found '{cell}'");
        let next = written(cell).ok_or_else(expected)?;
        let (first, per_second) = *self.first.get_or_insert_with(|| {
            let per_second = match next {
                Written::Number(number) => UNITS.iter().find(|(from, _)| number.abs() >= *from).map_or(1.0, |(_, unit)| *unit),
                Written::Date(_) => 1.0,
            };
            (next, per_second)
        });
        match (first, next) {
            (Written::Date(_), Written::Date(seconds)) => Ok(seconds),
            (Written::Number(_), Written::Number(number)) => Ok(number / per_second),
            (Written::Date(_), _) => Err(format!("expected a date as before, found the number '{cell}'")),
            (Written::Number(_), _) => Err(format!("expected a number as before, found the date '{cell}'")),
        }
    }
}

/// Whether a cell of a first row is data and not the name of a column.
pub(super) fn is_data(cell: &str) -> bool {
    cell.parse::<f64>().is_ok() || written(cell).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(cells: &[&str]) -> Result<Vec<f64>, String> {
        let mut times = Times::default();
        cells.iter().map(|cell| times.take(cell)).collect()
    }

    #[test]
    fn dates_and_numbers_in_any_unit_are_seconds() {
        assert_eq!(all(&["1661724000", "1661724001"]), Ok(vec![1_661_724_000.0, 1_661_724_001.0]));
        assert_eq!(all(&["1661724000000", "1661724000500"]), Ok(vec![1_661_724_000.0, 1_661_724_000.5]));
        assert_eq!(all(&["1661724000000000"]), Ok(vec![1_661_724_000.0]));
        assert_eq!(all(&["1661724000000000000"]), Ok(vec![1_661_724_000.0]));
        assert_eq!(all(&["0", "0.5"]), Ok(vec![0.0, 0.5]));
        for date in ["1970-01-02 00:00:00", "1970-01-02T00:00:00Z", "1970-01-02", "1970-01-02T02:00:00+02:00", "1970-01-02T00:00"] {
            assert_eq!(all(&[date]), Ok(vec![86_400.0]), "{date}");
        }
    }

    #[test]
    fn what_is_no_time_is_named() {
        for (cells, expected) in [
            (&["x"][..], "expected a time such as"),
            (&[""], "found ''"),
            (&["nan"], "found 'nan'"),
            (&["1970-13-01"], "found '1970-13-01'"),
            (&["5", "1970-01-02"], "expected a number as before, found the date '1970-01-02'"),
            (&["1970-01-02", "5"], "expected a date as before, found the number '5'"),
        ] {
            let found = all(cells).unwrap_err();
            assert!(found.contains(expected), "{found}");
        }
    }
}
