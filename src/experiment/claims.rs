//! What papers claim, and whether our rows bear it out.
//!
//! A claim names a number of a paper and how ours is taken from the rows of an experiment. Its verdict follows from the two and from bounds
//! that were written down beforehand: nobody types one. `experiments/claims.toml` has all of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::folder::{self, FolderError};
use crate::stats::median;

/// All claims, which are part of the program.
const CLAIMS: &str = include_str!("../../experiments/claims.toml");

/// A claim of a paper, or one of our own where `paper` says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The experiment whose rows are looked at.
    pub figure: String,
    /// What is claimed, in a sentence.
    pub says: String,
    /// Where: a file of `papers/` and an anchor in it, or what of ours claims it.
    pub source: String,
    /// The paper's number; none where it prints none, or where what counts is whether a bound holds.
    #[serde(default)]
    pub paper: Option<f64>,
    /// Unit of both numbers; empty for plain numbers.
    #[serde(default)]
    pub unit: String,
    /// How our number is taken.
    pub ours: Measure,
    /// What our number is divided by, if anything.
    #[serde(default)]
    pub over: Option<Measure>,
    /// Ours is the paper's if it differs by no more than this part of it.
    #[serde(default)]
    pub within: f64,
    /// The claim holds in its shape if ours is at least this.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The claim holds in its shape if ours is at most this.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Why it cannot be shown on a machine such as this one, if it does not hold.
    #[serde(default)]
    pub not_here: Option<String>,
}

/// How a number is taken from rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// The file, in the experiment's folder: rows with columns, or `result.json`, of which a row is what the definition expects and did not
    /// find.
    pub rows: String,
    /// Only rows that have these values in these columns, as they are written there.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, String>,
    /// The column; none to count rows.
    #[serde(default)]
    pub column: Option<String>,
    /// What is taken of several rows.
    #[serde(default)]
    pub take: Take,
    /// What the number is multiplied with.
    #[serde(default = "one")]
    pub times: f64,
}

fn one() -> f64 {
    1.0
}

/// What is taken of several rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Take {
    /// The median.
    #[default]
    Median,
    /// The least.
    Least,
    /// The most.
    Most,
    /// The largest over the smallest.
    Spread,
    /// The part of the rows that have this in the column, where it is not a number: `true`.
    ShareTrue,
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Our number is the paper's; or there is none and the bounds hold.
    Reproduced,
    /// The number is another one, but the bounds hold.
    ShapeOnly,
    /// It does not hold, for a reason that was given beforehand and lies in the machine.
    NotHere,
    /// It does not hold.
    NotReproduced,
    /// There is no number of ours: the experiment failed, or was not run.
    NotMeasured,
}

impl Verdict {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Reproduced => "reproduced",
            Verdict::ShapeOnly => "shape only",
            Verdict::NotHere => "not reproducible on this machine",
            Verdict::NotReproduced => "not reproduced",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// A claim with what we found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The claim.
    #[serde(flatten)]
    pub claim: Claim,
    /// Our number.
    pub found: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
}

/// What `reproduce --json` prints, in an experiment's folder.
pub const RESULT: &str = "result.json";

/// As much of it as is looked at.
#[derive(Deserialize)]
struct Told {
    violations: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    claims: Vec<Claim>,
}

/// All claims, in the order of the file.
pub fn claims() -> Vec<Claim> {
    toml::from_str::<File>(CLAIMS).expect("the claims are tested").claims
}

impl Claim {
    /// Judges it by the rows in the experiment's folder.
    pub fn judge(&self, folder: &Path) -> Judged {
        let over = self.over.as_ref().map_or(Some(1.0), |over| over.of(folder).filter(|number| *number != 0.0));
        let found = self.ours.of(folder).zip(over).map(|(ours, over)| ours / over);
        Judged { claim: self.clone(), found, verdict: self.verdict(found) }
    }

    fn verdict(&self, found: Option<f64>) -> Verdict {
        let Some(found) = found else { return Verdict::NotMeasured };
        if self.paper.is_some_and(|paper| (found - paper).abs() <= self.within * paper.abs() + 1e-9) {
            return Verdict::Reproduced;
        }
        let bounded = self.at_least.is_some() || self.at_most.is_some();
        let holds = bounded && self.at_least.is_none_or(|bound| found >= bound) && self.at_most.is_none_or(|bound| found <= bound);
        match (holds, self.paper, &self.not_here) {
            (true, None, _) => Verdict::Reproduced,
            (true, Some(_), _) => Verdict::ShapeOnly,
            (false, _, Some(_)) => Verdict::NotHere,
            (false, _, None) => Verdict::NotReproduced,
        }
    }
}

impl Measure {
    /// The number; none without rows that fit, or if the file is none.
    fn of(&self, folder: &Path) -> Option<f64> {
        let rows = self.matching(folder).ok()?;
        let number = match (&self.column, self.take) {
            (None, _) => Some(rows.len() as f64),
            (Some(column), Take::ShareTrue) => {
                let all = rows.iter().filter_map(|row| row.get(column)).collect::<Vec<_>>();
                (!all.is_empty()).then(|| all.iter().filter(|value| **value == "true").count() as f64 / all.len() as f64)
            }
            (Some(column), take) => {
                let numbers: Vec<f64> = rows.iter().filter_map(|row| row.get(column)?.parse().ok()).collect();
                let (least, most) = (numbers.iter().copied().reduce(f64::min), numbers.iter().copied().reduce(f64::max));
                match take {
                    Take::Least => least,
                    Take::Most => most,
                    Take::Spread => least.zip(most).filter(|(least, _)| *least > 0.0).map(|(least, most)| most / least),
                    Take::Median | Take::ShareTrue => median(numbers),
                }
            }
        };
        number.map(|number| number * self.times)
    }

    fn matching(&self, folder: &Path) -> Result<Vec<BTreeMap<String, String>>, FolderError> {
        let path = folder.join(&self.rows);
        let rows: Vec<BTreeMap<String, String>> = if self.rows == RESULT {
            let told: Vec<Told> = folder::read_jsonl(&path)?;
            let violations = told.into_iter().flat_map(|told| told.violations);
            violations.map(|violation| BTreeMap::from([("violation".to_owned(), violation)])).collect()
        } else {
            folder::read_csv(&path)?
        };
        let fits = |row: &BTreeMap<String, String>| self.only.iter().all(|(column, value)| row.get(column) == Some(value));
        Ok(rows.into_iter().filter(fits).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::figures::Figure;

    #[test]
    fn the_claims_are_about_figures_and_can_fail() {
        let claims = claims();
        for claim in &claims {
            assert!(Figure::named(&claim.figure).is_ok(), "{}", claim.figure);
            assert!(claim.paper.is_some() || claim.at_least.is_some() || claim.at_most.is_some(), "{} cannot fail", claim.says);
            if let Some((file, anchor)) = claim.source.split_once('#') {
                let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default();
                assert!(text.contains(&format!("<a id=\"{anchor}\"></a>")), "{}: no anchor {}", claim.figure, claim.source);
            }
        }
        let missing: Vec<&str> = Figure::names().filter(|name| claims.iter().all(|claim| claim.figure != *name)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "figures that claim nothing");
    }

    #[test]
    fn a_verdict_follows_from_numbers_and_bounds() {
        let text = |more: &str| format!("figure = 'f'\nsays = ''\nsource = ''\nours = {{ rows = 'rows.csv', column = 'actions' }}\n{more}");
        let verdict = |more: &str, found: Option<f64>| toml::from_str::<Claim>(&text(more)).unwrap().verdict(found);
        assert_eq!(verdict("paper = 4\nwithin = 0.5", Some(5.9)), Verdict::Reproduced);
        assert_eq!(verdict("paper = 4\nwithin = 0.25\nat_most = 8", Some(6.0)), Verdict::ShapeOnly);
        assert_eq!(verdict("paper = 4", Some(6.0)), Verdict::NotReproduced);
        assert_eq!(verdict("at_most = 8", Some(6.0)), Verdict::Reproduced);
        assert_eq!(verdict("at_least = 8\nnot_here = 'two cores'", Some(6.0)), Verdict::NotHere);
        assert_eq!(verdict("at_least = 8", None), Verdict::NotMeasured);
    }

    #[test]
    fn numbers_are_taken_from_the_rows_that_fit() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rows.csv"), "policy,actions,ok\nds2,1,true\nds2,3,true\nds2,9,false\ndhalion,6,true\n").unwrap();
        let of = |more: &str| toml::from_str::<Measure>(&format!("rows = 'rows.csv'\n{more}")).unwrap().of(folder.path());
        assert_eq!(of("column = 'actions'\nwhere = { policy = 'ds2' }"), Some(3.0));
        assert_eq!(of("column = 'actions'\nwhere = { policy = 'ds2' }\ntake = 'least'\ntimes = 10"), Some(10.0));
        assert_eq!((of("column = 'actions'\ntake = 'most'"), of("column = 'actions'\ntake = 'spread'")), (Some(9.0), Some(9.0)));
        assert_eq!(of("where = { policy = 'ds2', actions = '3' }"), Some(1.0));
        assert_eq!(of("column = 'ok'\ntake = 'share-true'"), Some(0.75));
        assert_eq!((of("column = 'none'"), of("column = 'actions'\nwhere = { policy = 'heron' }")), (None, None));
        assert_eq!(toml::from_str::<Measure>("rows = 'other.csv'").unwrap().of(folder.path()), None);
        std::fs::write(folder.path().join(RESULT), "{\"violations\":[\"ds2: too many\",\"heron: too few\"],\"runs\":[]}\n").unwrap();
        assert_eq!(toml::from_str::<Measure>("rows = 'result.json'").unwrap().of(folder.path()), Some(2.0));
    }
}
