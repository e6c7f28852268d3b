//! `thalweg analyze A --compare B`: two traces, or two parts of one, analysed the same way and
//! compared.

use std::io::{self, Write as _};

use anyhow::{Context, anyhow};
use serde_json::json;

use super::arguments::{Args, Asked};
use super::findings::Findings;
use super::pictures::{Pictures, cannot_write};
use super::reading::read;
use crate::cli::failure::{Failure, usage};
use crate::export::write_stacks;
use crate::report::Comparison;

/// Compares; the exit code is 1 if the second trace is slower beyond what is noise.
pub(super) fn compare(args: &Args) -> Result<(), Failure> {
    let (first, second) = Asked::both(args)?;
    let (before, damage_before) = findings(&first)?;
    let (after, damage_after) = findings(&second)?;
    let (name_before, name_after) = (first.name(), second.name());
    let comparison = Comparison::of(before.side(), after.side());
    for (format, path) in &first.stacks {
        let title = format!("Critical paths of {name_after}: red where their share is larger than in {name_before}");
        let name = format!("--export {format}={}", path.display());
        let written = write_stacks(*format, path, &title, &after.stacks(), Some(&before.stacks()));
        written.map_err(|why| cannot_write(&name, &why))?;
    }
    let text = if first.json {
        format!("{}\n", json!({ "a": name_before, "b": name_after, "comparison": comparison, "is_slower": comparison.is_slower() }))
    } else {
        comparison.text((&name_before, &name_after), first.top)
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error).context("standard output")?,
        _ => {}
    }
    if let Some(damage) = damage_before.or(damage_after) {
        return Err(usage(damage));
    }
    if comparison.is_slower() {
        return Err(anyhow!("{name_after}: an epoch takes longer than in {name_before}, beyond what is noise").into());
    }
    Ok(())
}

type Damage = Option<anyhow::Error>;

/// What is found in one of the traces.
fn findings(asked: &Asked) -> Result<(Findings<'_>, Damage), Failure> {
    let mut trace = asked.open()?;
    let mut findings = Findings::new(asked);
    let damage = read(asked, &mut trace, &mut Pictures::new(asked)?, &mut findings)?;
    findings.expect_any(&trace, damage.as_ref())?;
    findings.note(&trace);
    Ok((findings, damage))
}
