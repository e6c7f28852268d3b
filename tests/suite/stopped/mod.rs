//! A command that is stopped after each of its steps on the file system in turn: what a kill leaves at any instant.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use thalweg::experiment::out_folder::BEGUN;
use thalweg::experiment::partial;
use thalweg::experiment::steps::STOP_AFTER;

/// What the system says of a process that aborted (SIGABRT).
const ABORTED: i32 = 6;

pub fn thalweg(args: &[&str], out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.args(args).arg("--out").arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Stops the command after its first step, its second and so on, each time in a folder of its own, and has the same command take that
/// folder up. `check` sees it then, and what the command printed. Gives the number of steps: that of the first run that was not stopped.
pub fn after_every_step(args: &[&str], check: impl Fn(&Path, &[u8])) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    for step in 1.. {
        let (out, counter) = (folder.path().join(format!("out-{step}")), folder.path().join(format!("counter-{step}")));
        let stopped = thalweg(args, &out).env(STOP_AFTER, format!("{step} {}", counter.display())).output().unwrap();
        let is_whole = !out.join(BEGUN).exists() && out.read_dir().is_ok_and(|mut entries| entries.next().is_some());
        if stopped.status.success() {
            assert!(is_whole && std::fs::metadata(counter).unwrap().len() < step);
            check(&out, &stopped.stdout);
            return step - 1;
        }
        assert_eq!(stopped.status.signal(), Some(ABORTED), "{}", String::from_utf8_lossy(&stopped.stderr));
        // The last step is the one that makes the folder whole.
        let output = if is_whole { stopped } else { thalweg(args, &out).output().unwrap() };
        assert!(is_whole || output.status.success(), "after step {step}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!out.join(BEGUN).exists() && unfinished(&out).is_empty(), "after step {step}: {:?}", unfinished(&out));
        check(&out, &output.stdout);
    }
    unreachable!("a command has an end")
}

/// Names in a folder, and in folders in it, of what is not whole.
pub fn unfinished(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if partial::whole(&name).is_some() || name.ends_with("partial") || name == BEGUN {
            found.push(name);
        }
        if entry.path().is_dir() {
            found.extend(unfinished(&entry.path()));
        }
    }
    found
}
