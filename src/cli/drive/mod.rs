//! `thalweg drive flink`: lets a policy rescale a running Flink job, or says what it would do.

mod arguments;
pub(super) mod connect;
mod page;
mod shown;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde_json::json;

pub(super) use self::arguments::Args;
use self::arguments::Asked;
use self::shown::Shown;
pub(super) use self::shown::path;
use super::failure::{Failure, usage};
use super::interrupted::{self, Meanwhile};
use super::reproduce::out_folder;
use crate::experiment::environment::Environment;
use crate::experiment::folder;
use crate::experiment::out_folder::OutFolder;
use crate::flink::{Allowed, DriveError, Ending, Recording, Replay, Rest, drive as drive_job};

pub(super) fn drive(args: &Args) -> Result<(), Failure> {
    let session = args.session.as_deref();
    let asked = match session {
        Some(path) => {
            let replay = open(path)?;
            Asked::of_session(replay.options()).map_err(|why| at(path, why))?
        }
        None => Asked::of(args)?,
    };
    let out = args.out_needed().then(|| out_folder(args.out.as_deref(), "drive-flink", "drive", &Environment::here())).transpose()?;
    interrupted::listen(Meanwhile::Measures)?;
    let mut shown = Shown::new(asked.policy(), out.as_deref(), args.quiet_line(), args.page.begin(asked.policy())?)?;
    let allowed = Allowed { trigger: asked.args.trigger, rescale: !asked.args.advise };
    let ended = match session {
        Some(path) => {
            let mut replay = open(path)?;
            let ended = drive_job(&mut Rest::new(&mut replay, allowed), &asked.config, &mut asked.prepare(), &mut shown);
            if let Some(damage) = replay.damage() {
                return Err(usage(anyhow!("--session {}: {damage}", path.display())));
            }
            ended
        }
        None => online(&asked, allowed, out.as_ref(), &mut shown)?,
    };
    shown.finish()?;
    let ending = ended.map_err(|error| failure(error, args.rest.as_deref()))?;
    summary(args, &asked, &shown, &ending, out)?;
    match &ending {
        Ending::Ended(state) if state == "FAILED" => Err(Failure::Run(anyhow!("the job is FAILED"))),
        _ => Ok(()),
    }
}

/// Drives a job on a real cluster.
fn online(asked: &Asked, allowed: Allowed, out: Option<&OutFolder>, shown: &mut Shown) -> Result<Result<Ending, DriveError>, Failure> {
    let address = asked.args.rest.as_deref().unwrap_or_default();
    let mut link = connect::connect("rest", address, asked.timeout)?;
    let Some(out) = out.filter(|_| asked.args.record) else {
        return Ok(drive_job(&mut Rest::new(&mut link, allowed), &asked.config, &mut asked.prepare(), shown));
    };
    let path = out.join(folder::SESSION);
    let file = File::create_new(&path).with_context(|| path.display().to_string())?;
    let mut recording = Recording::begin(Box::new(link), file, json!(asked.args.recorded())).with_context(|| path.display().to_string())?;
    let ended = drive_job(&mut Rest::new(&mut recording, allowed), &asked.config, &mut asked.prepare(), shown);
    recording.finish().with_context(|| path.display().to_string())?;
    Ok(ended)
}

fn open(path: &Path) -> Result<Replay<BufReader<File>>, Failure> {
    let wrong = |why: &dyn std::fmt::Display| usage(anyhow!("--session {}: {why}", path.display()));
    let file = File::open(path).map_err(|why| wrong(&why))?;
    Replay::begin(BufReader::new(file)).map_err(|why| wrong(&why))
}

fn at(path: &Path, failure: Failure) -> Failure {
    match failure {
        Failure::Usage(why) => Failure::Usage(why.context(format!("--session {}", path.display()))),
        failure @ Failure::Run(_) => failure,
    }
}

/// The failure of a drive; `address` is where it was to be.
pub(super) fn failure(error: DriveError, address: Option<&str>) -> Failure {
    let is_usage = error.is_usage();
    match error {
        DriveError::Prepare(why) => Failure::Usage(why),
        DriveError::Rest(why) => {
            let why = anyhow!("{}: {why}", address.unwrap_or("the session"));
            if is_usage { usage(why) } else { Failure::Run(why) }
        }
        error if is_usage => usage(error),
        error => Failure::Run(error.into()),
    }
}

fn summary(args: &Args, asked: &Asked, shown: &Shown, ending: &Ending, out: Option<OutFolder>) -> Result<(), Failure> {
    let ended = match ending {
        Ending::Stopped if args.session.is_some() => "the session ended".to_owned(),
        Ending::Stopped => "stopped; the job is left as it is".to_owned(),
        Ending::Windows => "as many windows as asked for".to_owned(),
        Ending::Ended(state) => format!("the job is {state}"),
    };
    let told = &shown.told;
    if args.json {
        let value = json!({
            "policy": asked.policy(), "job": told.job, "windows": told.windows, "epochs": told.epochs, "rescales": told.rescales,
            "failed_rescales": told.failed, "advised": told.advised, "configuration": told.configuration, "ended": ended,
            "folder": out.as_deref(),
        });
        println!("{value}");
    } else {
        println!("job                 {}", told.job);
        println!("policy              {}", asked.policy());
        println!("windows             {} with {} epochs", told.windows, told.epochs);
        println!("rescales            {} reached, {} failed, {} advised", told.rescales, told.failed, told.advised);
        println!("configuration       {}", told.configuration);
        println!("ended               {ended}");
        out.iter().for_each(|out| println!("folder              {}", out.display()));
    }
    if let Some(out) = out {
        out.finish()?;
    }
    Ok(())
}
