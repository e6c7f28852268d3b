//! The temporary name of what is not whole yet: `.<name>.<process>.partial`, in the same folder.
//!
//! The same folder, since a rename is atomic only within one file system; the process, since two may write at once.

use std::path::{Path, PathBuf};
use std::process;

/// How a temporary name ends, apart from an extension that must be kept.
const ENDING: &str = "partial";

/// The temporary name of `path` in this process.
pub fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{ENDING}", process::id()))
}

/// The temporary name of `path` in this process, with the same extension, for writers that take their format from it.
pub fn partial_of_same_kind(path: &Path) -> PathBuf {
    let (stem, extension) = (path.file_stem().unwrap_or_default(), path.extension().unwrap_or_default());
    let (stem, extension) = (stem.to_string_lossy(), extension.to_string_lossy());
    path.with_file_name(format!(".{stem}.{}.{ENDING}.{extension}", process::id()))
}

/// The name that was to be given to what has the temporary name `name`, of whichever process; nothing of any other name.
pub fn whole(name: &str) -> Option<String> {
    let (begun, ending) = name.strip_prefix('.')?.rsplit_once(&format!(".{ENDING}"))?;
    let (whole, process) = begun.rsplit_once('.')?;
    let is_process = !process.is_empty() && process.bytes().all(|digit| digit.is_ascii_digit());
    let is_kind = ending.is_empty() || ending.starts_with('.') && ending.len() > 1;
    (is_process && is_kind && !whole.is_empty()).then(|| format!("{whole}{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_says_which_name_is_to_be_given() {
        for path in ["out/all.toml", "out/rows.csv", "ds2-skew", "a.b.c/q.partial"] {
            let path = Path::new(path);
            assert_eq!(partial(path).parent(), path.parent());
            let name = partial(path).file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(whole(&name).as_deref(), path.file_name().unwrap().to_str(), "{name}");
        }
        let figure = partial_of_same_kind(Path::new("out/loop.v2.svg"));
        assert_eq!(figure.extension().unwrap(), "svg");
        assert_eq!(whole(figure.file_name().unwrap().to_str().unwrap()).as_deref(), Some("loop.v2.svg"));
    }

    #[test]
    fn other_names_are_not_taken_for_temporary_ones() {
        for name in
            ["all.toml", ".all.toml", ".all.toml.partial", ".all.toml.x1.partial", "all.toml.1.partial", "..1.partial", ".a.1.partially"]
        {
            assert_eq!(whole(name), None, "{name}");
        }
    }
}
