//! The folder that a command fills: begun, filled, finished, and taken up again where an earlier process was killed in between.
//!
//! The first thing in it is [`BEGUN`], which says what began it, and the last thing a command does is to remove it. So a folder with this
//! file is not whole, and what the same command finds there is its own: it is removed and made again, unless it is of a kind that is kept
//! ([`Fills::kept_with`]). Nothing is removed whose name is not one that commands give: with anything else in it, and without the
//! file, a folder is refused and left as it is.
//!
//! The process that fills the folder holds a lock on the file, which ends with the process however it ends. A process that it starts
//! can hold it as well ([`OutFolder::share`]).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::partial::whole;
use super::{folder, frame, steps};

/// What is in a folder as long as it is not whole. Its text is [`Fills::name`].
pub const BEGUN: &str = ".thalweg-unfinished";

/// Names that commands give to files, apart from figures and files of rows.
const FILES: [&str; 21] = [
    folder::RUN,
    folder::TIMELINE,
    folder::LATENCY,
    folder::WORKERS,
    folder::INSTANCES,
    folder::DECISIONS,
    folder::NEWS,
    folder::PATHS,
    folder::SESSION,
    folder::SUMMARY,
    folder::ACTIVITY,
    folder::ACTIVITY_BEGUN,
    folder::ENVIRONMENT,
    folder::MIGRATION_TIMELINE,
    folder::DEFINITION,
    folder::RESULT,
    folder::PLAN,
    folder::PAGE,
    folder::RUN_PAGE,
    folder::TOOK,
    folder::INTERRUPTED,
];

/// Extensions of a figure.
const FIGURES: [&str; 2] = ["svg", "png"];

/// How long to wait for the end of another process that holds the folder. One that was killed needs an instant, also on a machine that
/// is busy; one that works on is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What fills a folder.
#[derive(Clone, Copy, Debug)]
pub struct Fills<'a> {
    /// Which command, such as `run-ds2`: what another one has begun is not its own.
    pub name: &'a str,
    /// The stem of its figures.
    pub figure: &'a str,
    /// A file of which the presence says that what is there is gone on with instead of made again.
    pub kept_with: Option<&'a str>,
}

/// A folder that is being filled; not whole before [`finish`](Self::finish).
#[derive(Debug)]
#[must_use = "the folder counts as half made until `finish`"]
pub struct OutFolder {
    path: PathBuf,
    /// [`BEGUN`], locked.
    begun: File,
}

/// Why a folder cannot be filled.
#[derive(Debug, thiserror::Error)]
pub enum OutFolderError {
    /// There is something that no command of ours put there, or that is whole.
    #[error("expected a new or empty folder, found {0}")]
    Found(String),
    /// Another command began it.
    #[error("expected a new or empty folder, found an unfinished one of '{0}'")]
    Other(String),
    /// Another process fills it.
    #[error("expected a folder that no other process writes to, found one")]
    Busy,
    /// It cannot be written to.
    #[error("cannot be made: {0}")]
    Io(#[from] io::Error),
}

impl OutFolder {
    /// Begins the folder `path`, which is new, empty, or half made by the same command; waits a while for a process that holds it and is
    /// about to end.
    ///
    /// # Errors
    /// When it is none of these; then nothing in it has changed.
    pub fn begin(path: &Path, fills: Fills<'_>) -> Result<OutFolder, OutFolderError> {
        if path.exists() && !path.is_dir() {
            return Err(OutFolderError::Found("a file".to_owned()));
        }
        if !path.is_dir() {
            folder::create_dir_all(path)?;
        }
        let marker = path.join(BEGUN);
        loop {
            if !marker.is_file() && !fills.keeps(path) {
                // Not even a file of this module may be added to a folder that is refused.
                refuse(fills.foreign_unmarked(path)?)?;
            }
            let begun = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&marker)?;
            steps::taken();
            if !lock(&begun, PATIENCE)? {
                return Err(OutFolderError::Busy);
            }
            // Whoever held it may have finished meanwhile, and taken the file away.
            if marker.is_file() {
                let out = OutFolder { path: path.to_owned(), begun };
                out.take_over(fills)?;
                return Ok(out);
            }
        }
    }

    /// Whether nothing is there, or nothing but what was killed before it had written anything whole.
    pub fn is_free(path: &Path) -> bool {
        let is_whole = |name: &str| name != BEGUN && whole(name).is_none();
        !path.exists() || entries(path).is_ok_and(|all| all.iter().all(|(name, _)| !is_whole(name)))
    }

    /// The lock once more, for a process that is started with it as its standard input: the folder is then held until both have ended.
    ///
    /// # Errors
    /// When the system has no more file handles.
    pub fn share(&self) -> io::Result<File> {
        self.begun.try_clone()
    }

    /// The folder is whole.
    ///
    /// # Errors
    /// When nothing can be removed there.
    pub fn finish(self) -> io::Result<()> {
        match fs::remove_file(self.path.join(BEGUN)) {
            // Somebody else has taken it away, which is all there was to do.
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            _ => {
                steps::taken();
                Ok(())
            }
        }
    }

    /// Removes what an earlier process left that is not gone on with, and says what begins here.
    fn take_over(&self, fills: Fills<'_>) -> Result<(), OutFolderError> {
        let mut text = String::new();
        (&self.begun).read_to_string(&mut text)?;
        if fills.keeps(&self.path) {
            if fs::remove_file(self.path.join(folder::INTERRUPTED)).is_ok() {
                steps::taken();
            }
            remove(&self.path, &|name| whole(name).is_some_and(|name| fills.is_ours(&name)), Folders::Leave)?;
        } else {
            // A command that was killed before it could say what it was has written nothing else.
            if !text.is_empty() && text != fills.name {
                return Err(OutFolderError::Other(text));
            }
            refuse(fills.foreign(&self.path)?)?;
            remove(&self.path, &|name| name != BEGUN, Folders::Remove)?;
        }
        if text.is_empty() {
            (&self.begun).write_all(fills.name.as_bytes())?;
            steps::taken();
        }
        Ok(())
    }
}

impl Deref for OutFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Fills<'_> {
    fn keeps(&self, path: &Path) -> bool {
        self.kept_with.is_some_and(|name| path.join(name).is_file())
    }

    fn is_ours(&self, name: &str) -> bool {
        let is_figure = || name.strip_prefix(self.figure).and_then(|end| end.strip_prefix('.')).is_some_and(|kind| FIGURES.contains(&kind));
        FILES.contains(&name) || frame::files().any(|file| file == name) || folder::is_failed(name) || is_figure()
    }

    /// A path, from `path` on, that no command gives; what is in folders counts, not how they are called.
    fn foreign(&self, path: &Path) -> io::Result<Option<String>> {
        for (name, kind) in entries(path)? {
            if kind.is_dir() {
                if let Some(inner) = self.foreign(&path.join(&name))? {
                    return Ok(Some(format!("{name}/{inner}")));
                }
            } else if !kind.is_file() || name != BEGUN && !self.is_ours(&whole(&name).unwrap_or_else(|| name.clone())) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// The same of a folder that does not say that it was begun: temporary files alone are ours then.
    fn foreign_unmarked(&self, path: &Path) -> io::Result<Option<String>> {
        let is_ours = |name: &str| whole(name).is_some_and(|name| self.is_ours(&name));
        Ok(entries(path)?.into_iter().find(|(name, kind)| !kind.is_file() || !is_ours(name)).map(|(name, _)| name))
    }
}

fn refuse(foreign: Option<String>) -> Result<(), OutFolderError> {
    foreign.map_or(Ok(()), |name| Err(OutFolderError::Found(name)))
}

/// What is in a folder, by name.
fn entries(path: &Path) -> io::Result<Vec<(String, fs::FileType)>> {
    let named = |entry: fs::DirEntry| Ok((entry.file_name().to_string_lossy().into_owned(), entry.file_type()?));
    let mut all = path.read_dir()?.map(|entry| entry.and_then(named)).collect::<io::Result<Vec<_>>>()?;
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

/// What to do with folders.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folders {
    Leave,
    Remove,
}

/// Removes the files that `which` names, and folders with all that is in them, one step at a time.
fn remove(path: &Path, which: &dyn Fn(&str) -> bool, folders: Folders) -> io::Result<()> {
    for (name, kind) in entries(path)? {
        let entry = path.join(&name);
        if kind.is_dir() && folders == Folders::Remove {
            remove(&entry, &|_| true, folders)?;
            fs::remove_dir(&entry)?;
            steps::taken();
        } else if kind.is_file() && which(&name) {
            fs::remove_file(&entry)?;
            steps::taken();
        }
    }
    Ok(())
}

/// Locks the file for as long as it is open anywhere; `false` if another process still has it after `patience`.
fn lock(file: &File, patience: Duration) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => return Ok(true),
        Err(TryLockError::WouldBlock) => {}
        // Some file systems know no locks: then nobody can be seen at work.
        Err(TryLockError::Error(_)) => return Ok(true),
    }
    // The lock belongs to what is open, which the two handles share.
    let shared = file.try_clone()?;
    let (locked, waited) = mpsc::channel();
    thread::spawn(move || locked.send(shared.lock().is_ok()));
    Ok(waited.recv_timeout(patience).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILLS: Fills<'static> = Fills { name: "loop-quick", figure: "loop", kept_with: None };

    #[test]
    fn names_that_commands_give_are_known() {
        let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/record");
        let recorded = entries(&record).unwrap();
        assert!(recorded.len() > 10);
        for (figure, _) in recorded {
            let fills = Fills { figure: &figure, ..FILLS };
            let folder = record.join(&figure);
            // A person wrote the page about it.
            for (name, kind) in entries(&folder).unwrap().into_iter().filter(|(name, _)| name != "README.md") {
                let is_ours = if kind.is_dir() { fills.foreign(&folder.join(&name)).unwrap().is_none() } else { fills.is_ours(&name) };
                assert!(is_ours, "{figure}: {name}");
            }
        }
        for (name, ours) in [("loop.svg", true), ("loop.png", true), ("other.svg", false), ("loop.md", false), ("notes.txt", false)] {
            assert_eq!(FILLS.is_ours(name), ours, "{name}");
        }
    }

    #[test]
    fn a_folder_is_held_until_all_who_share_it_have_ended() {
        let folder = tempfile::tempdir().unwrap();
        let out = OutFolder::begin(folder.path(), FILLS).unwrap();
        let other = File::open(folder.path().join(BEGUN)).unwrap();
        assert!(!lock(&other, Duration::ZERO).unwrap());
        let shared = out.share().unwrap();
        drop(out);
        assert!(!lock(&other, Duration::ZERO).unwrap());
        drop(shared);
        assert!(lock(&other, Duration::MAX).unwrap());
    }

    #[test]
    fn a_folder_without_anything_whole_is_free() {
        let folder = tempfile::tempdir().unwrap();
        assert!(OutFolder::is_free(&folder.path().join("new")) && OutFolder::is_free(folder.path()));
        for name in [BEGUN, ".all.toml.7.partial"] {
            fs::write(folder.path().join(name), "").unwrap();
            assert!(OutFolder::is_free(folder.path()));
        }
        fs::write(folder.path().join(folder::PLAN), "").unwrap();
        assert!(!OutFolder::is_free(folder.path()));
    }
}
