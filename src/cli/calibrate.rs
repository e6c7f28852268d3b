//! `thalweg simulate --calibrate`: calibrates a scenario from a recorded run.

use std::path::{Path, PathBuf};

use super::failure::{Failure, usage};
use crate::experiment::calibration::{Calibration, calibrate as calibrate_on};
use crate::experiment::folder;

/// File name of the calibrated scenario.
const SCENARIO: &str = "calibrated.toml";

/// Calibrates a scenario from `run` and writes it to `out`, or to the folder of the run.
pub(super) fn calibrate(run: &Path, out: Option<&Path>, json: bool) -> Result<(), Failure> {
    let Calibration { scenario, fits, assumed, records } = calibrate_on(run).map_err(usage)?;
    let folder = out.unwrap_or(run);
    std::fs::create_dir_all(folder).map_err(|why| usage(anyhow::anyhow!("--out {}: cannot be made: {why}", folder.display())))?;
    let path: PathBuf = folder.join(SCENARIO);
    let mut text = String::from("# Written by 'thalweg simulate --calibrate'.\n");
    let told = fits.iter().map(|fit| format!("{}: {} {}, from {} {}", fit.what, fit.value, fit.unit, fit.samples, fit.of));
    for line in told.chain(assumed.iter().map(|line| format!("not measured: {line}"))) {
        // Names may contain line breaks, which would end the comment.
        text += &format!("# {}\n", line.replace(char::is_control, " "));
    }
    text.push('\n');
    text += &toml::to_string(&scenario)?;
    folder::write_text(&path, &text)?;
    if json {
        println!("{}", serde_json::json!({ "run": run, "scenario": path, "records": records, "fitted": fits, "assumed": assumed }));
        return Ok(());
    }
    let widest = fits.iter().map(|fit| fit.what.chars().count()).max().unwrap_or(0);
    println!("Fitted to {records} records of {}:", run.join(folder::ACTIVITY).display());
    for fit in &fits {
        let value = format!("{:.4} {}", fit.value, fit.unit);
        let spread = if fit.spread.is_empty() { String::new() } else { format!("; {}", fit.spread) };
        println!("  {:<widest$}  {:<22} {} {}{spread}", fit.what, value.trim_end(), fit.samples, fit.of);
    }
    println!("Not measured:");
    assumed.iter().for_each(|line| println!("  {line}"));
    println!("scenario  {}", path.display());
    Ok(())
}
