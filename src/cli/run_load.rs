//! `--load`: the rate of a run over time.

use std::path::Path;

use anyhow::anyhow;
use serde::Deserialize;

use super::failure::{Failure, usage};
use crate::experiment::scenario::{RoleForm, Scenario};
use crate::rate::Rate;
use crate::workload::Shape;
use crate::workload::load::{ScaleTo, Trace};

/// A load that is written out, such as `{ shape = "sine", … }`.
#[derive(Deserialize)]
struct Written {
    load: Shape,
}

/// Gives the source of a job the load that was asked for: a file, all of which passes during the
/// run with `rate` as its mean, or a load as scenarios write it, which has rates of its own. `share`
/// is the part of the rate that the source emits, `most` the highest rate.
pub(super) fn apply(asked: &str, scenario: &mut Scenario, (rate, given): (Rate, bool), share: f64, most: f64) -> Result<(), Failure> {
    let wrong = |what: String| usage(anyhow!("--load: {what}"));
    let shape = if asked.trim_start().starts_with('{') {
        if given {
            return Err(wrong("expected no --rate beside a load that is written out: it has its own".to_owned()));
        }
        let written: Written = toml::from_str(&format!("load = {asked}")).map_err(|why| wrong(why.message().to_owned()))?;
        written.load
    } else {
        let mut trace = Trace::of_file(Path::new(asked));
        trace.within(Path::new(""));
        let length_s = trace.series().map_err(|why| wrong(why.to_string()))?.length_s();
        let mean = Rate::per_second(rate.as_per_second() * share);
        (trace.speed_up, trace.scale_to) = (length_s / scenario.seconds, Some(ScaleTo::Mean(mean)));
        Shape::Trace(Box::new(trace))
    };
    let highest = shape.schedule(scenario.duration()).map_err(|why| wrong(why.to_string()))?.highest().as_per_second();
    if highest > most || highest <= 0.0 {
        return Err(wrong(format!("expected a highest rate of more than 0 and at most {most:.0} records/s, found {highest:.1}")));
    }
    let source = scenario.operators.iter_mut().find(|operator| operator.role == RoleForm::Source).expect("a job has a source");
    (source.rate, source.load) = (None, Some(shape));
    Ok(())
}
