//! A change of what work costs, by the names of operators.

use std::fmt;
use std::str::FromStr;

use crate::activity::Names;
use crate::id::InstanceId;

/// What becomes cheaper or dearer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Operator(String),
    Instance(String, u32),
    Network,
}

/// Factors on the cost of parts of a job; a part that none is given for costs what it costs.
///
/// As text: `count=0.5x; map[3]=2x; network=0`, where the last that fits a part is its factor. `network` is the time of
/// messages under way.
///
/// ```
/// use thalweg::critical_path::Change;
///
/// let change: Change = "count=0.5x; network=0".parse()?;
/// assert_eq!(change.to_string(), "count=0.5x; network=0x");
/// assert!("count=-1".parse::<Change>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    parts: Vec<(Part, f64)>,
}

impl Change {
    /// All instances of the operator of this name cost `factor` times as much.
    pub fn of(operator: &str, factor: f64) -> Change {
        Change { parts: vec![(Part::Operator(operator.to_owned()), factor)] }
    }

    /// The factor on the work of an instance.
    pub(super) fn on(&self, instance: InstanceId, names: &Names) -> f64 {
        let operator = names.operator(instance.operator);
        let fits = |part: &Part| match part {
            Part::Operator(name) => *name == operator,
            Part::Instance(name, index) => *name == operator && *index == instance.index,
            Part::Network => false,
        };
        self.parts.iter().rev().find(|(part, _)| fits(part)).map_or(1.0, |(_, factor)| *factor)
    }

    /// The factor on the time of messages under way.
    pub(super) fn on_network(&self) -> f64 {
        self.parts.iter().rev().find(|(part, _)| *part == Part::Network).map_or(1.0, |(_, factor)| *factor)
    }

    /// Names of operators that it names.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|(part, _)| match part {
            Part::Operator(name) | Part::Instance(name, _) => Some(name.as_str()),
            Part::Network => None,
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (part, factor)) in self.parts.iter().enumerate() {
            let between = if number == 0 { "" } else { "; " };
            match part {
                Part::Operator(name) => write!(f, "{between}{name}={factor}x")?,
                Part::Instance(name, index) => write!(f, "{between}{name}[{index}]={factor}x")?,
                Part::Network => write!(f, "{between}network={factor}x")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Change, String> {
        let part = |item: &str| {
            let wrong = |what: &str| format!("expected {what}, found '{}'", item.trim());
            // A name may hold a '='.
            let (name, factor) = item.rsplit_once('=').ok_or_else(|| wrong("OPERATOR=FACTORx such as 'count=0.5x'"))?;
            let (name, factor) = (name.trim(), factor.trim());
            let number = factor.strip_suffix('x').unwrap_or(factor).parse::<f64>().ok();
            let is_factor = |factor: &f64| (0.0..=1000.0).contains(factor);
            let number = number.filter(is_factor).ok_or_else(|| wrong("a factor from 0 to 1000 such as '0.5x'"))?;
            let instance = name.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
            let instance = instance.and_then(|(name, index)| Some((name.to_owned(), index.parse().ok()?)));
            Ok(match instance {
                _ if name.is_empty() => return Err(wrong("the name of an operator before '='")),
                Some((name, index)) => (Part::Instance(name, index), number),
                None if name == "network" => (Part::Network, number),
                None => (Part::Operator(name.to_owned()), number),
            })
        };
        let items = text.split(';').filter(|item| !item.trim().is_empty());
        let parts = items.map(part).collect::<Result<Vec<_>, String>>()?;
        if parts.is_empty() { Err(format!("expected OPERATOR=FACTORx such as 'count=0.5x', found '{text}'")) } else { Ok(Change { parts }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_change_is_said() {
        let why = |text: &str| text.parse::<Change>().unwrap_err();
        assert_eq!(why(" ; "), "expected OPERATOR=FACTORx such as 'count=0.5x', found ' ; '");
        assert_eq!(why("count"), "expected OPERATOR=FACTORx such as 'count=0.5x', found 'count'");
        assert_eq!(why("a=1; count=fast"), "expected a factor from 0 to 1000 such as '0.5x', found 'count=fast'");
        assert_eq!(why("=2"), "expected the name of an operator before '=', found '=2'");
        assert!(why("count=nan").contains("a factor from 0") && why("count=-1x").contains("a factor from 0"));
    }
}
