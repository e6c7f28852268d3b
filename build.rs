//! Stamps the revision into the program, so that every recorded row can name it.

use std::path::Path;
use std::process::Command;

fn main() {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let revision = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    // What was built may differ from the revision: say so rather than claim it.
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "src", "Cargo.toml", "Cargo.lock", "build.rs"]);
    let mark = if changed.is_some_and(|changed| !changed.is_empty()) { "-changed" } else { "" };
    println!("cargo:rustc-env=THALWEG_REVISION={revision}{mark}");
    // A path that is not there would have everything built each time; in a worktree git's files are elsewhere.
    let of_git = ["HEAD", "logs/HEAD"].iter().filter_map(|file| git(&["rev-parse", "--git-path", file]));
    let paths = of_git.chain(["src", "Cargo.toml", "Cargo.lock"].map(str::to_owned));
    for path in paths.filter(|path| Path::new(path).exists()) {
        println!("cargo:rerun-if-changed={path}");
    }
}
