//! Where and how a run was made: what every row carries beside its numbers.

// The date of a run is written into its row and decides nothing.
#![allow(clippy::disallowed_methods)]

use serde::{Deserialize, Serialize};

/// Revision, machine and command of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Revision of the program; ends in `-changed` when it was built from changed files.
    pub revision: String,
    /// Processor, cores and memory.
    pub machine: String,
    /// The command line.
    pub command: String,
    /// When it began, UTC, to the second.
    pub started_utc: String,
}

impl Environment {
    /// This process on this machine, now.
    pub fn here() -> Environment {
        Environment {
            revision: env!("THALWEG_REVISION").to_owned(),
            machine: machine(),
            command: command(),
            started_utc: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }
}

/// What the program says it was asked, where that is not what it was started with: `reproduce all` starts a process a figure, which writes into
/// a folder that has another name once it is whole.
pub const COMMAND: &str = "THALWEG_COMMAND";

fn command() -> String {
    if let Ok(command) = std::env::var(COMMAND) {
        return command;
    }
    // The path of the program says nothing that helps to run it again.
    let words: Vec<String> = std::env::args().skip(1).collect();
    std::iter::once("thalweg".to_owned()).chain(repeatable(&words)).collect::<Vec<_>>().join(" ")
}

/// The words of a command as a shell takes them, without the folder it writes to: that may be a temporary one, and whoever repeats the command
/// wants another.
fn repeatable(words: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--out" {
            words.next();
        } else if !word.starts_with("--out=") {
            kept.push(if word.contains(char::is_whitespace) { format!("'{word}'") } else { word.clone() });
        }
    }
    kept
}

fn machine() -> String {
    let field = |path: &str, name: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kilobytes = field("/proc/meminfo", "MemTotal").and_then(|total| total.split(' ').next()?.parse::<u64>().ok());
    let memory = kilobytes.map_or("unknown memory".to_owned(), |kilobytes| format!("{} GiB", kilobytes >> 20));
    format!("{processor}, {cores} cores, {memory}, {} {}", std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_command_does_not_name_the_folder_it_wrote_to() {
        let kept = |command: &[&str]| repeatable(&command.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()).join(" ");
        assert_eq!(kept(&["reproduce", "ds2-fig6", "--out", "/tmp/.x.1.partial", "--json"]), "reproduce ds2-fig6 --json");
        assert_eq!(kept(&["run", "--out=/tmp/x", "--plan", "4s: count=8"]), "run --plan '4s: count=8'");
        assert_eq!(kept(&["run", "--out"]), "run");
    }
}
