//! A download of Flink that fails leaves nothing that the next one would take for Flink.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// `scripts/flink/cluster prepare` with this package index and a cache of its own; its JDK is one that only says its version.
fn prepare(folder: &Path, index: &str) -> Output {
    let tools = folder.join("tools");
    std::fs::create_dir_all(&tools).unwrap();
    for tool in ["java", "javac", "jar"] {
        std::fs::write(tools.join(tool), "#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n").unwrap();
        std::fs::set_permissions(tools.join(tool), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("python3");
    command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/flink/cluster"), "prepare"]);
    let pip = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("PIP_") || name.to_lowercase().ends_with("_proxy"));
    for name in pip {
        command.env_remove(name);
    }
    command.env("PATH", path).env("THALWEG_FLINK_CACHE", folder.join("cache")).env_remove("FLINK_LIB");
    command.envs([("PIP_CONFIG_FILE", "/dev/null"), ("PIP_INDEX_URL", index), ("PIP_RETRIES", "0"), ("PIP_NO_CACHE_DIR", "1")]);
    command.output().unwrap()
}

fn cached(folder: &Path) -> Vec<String> {
    let entries = folder.join("cache").read_dir().unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn without_a_network_or_with_another_checksum_nothing_is_left_of_it() {
    let has_pip = Command::new("python3").args(["-m", "pip", "--version"]).output().is_ok_and(|output| output.status.success());
    if !has_pip {
        eprintln!("skipped: python3 with pip is not there");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("simple/apache-flink-libraries");
    std::fs::create_dir_all(&index).unwrap();
    let name = "apache-flink-libraries-2.3.0.tar.gz";
    std::fs::write(index.join(name), "half of it").unwrap();
    std::fs::write(index.join("index.html"), format!("<a href=\"{name}#sha256={}\">{name}</a>", "0".repeat(64))).unwrap();
    let by_file = format!("file://{}/simple", folder.path().display());
    // Nothing listens on the first port.
    for (index, because) in [(by_file.as_str(), "do not match the hashes"), ("http://127.0.0.1:1/simple", "no matching distribution")] {
        let output = prepare(folder.path(), index);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let last = said.trim().lines().last().unwrap();
        assert!(last.starts_with("cluster: expected pip to download apache-flink-libraries==2.3.0, it did not"), "{said}");
        assert!(said.to_lowercase().contains(because), "{said}");
        assert!(output.stdout.is_empty(), "it names no folder");
        assert_eq!(cached(folder.path()), ["lock"], "{said}");
    }
}
