//! A test with a process to itself: the suite, started once more for this test only.

use std::process::Command;

/// Says to a process that it is the one of a test.
const ALONE: &str = "THALWEG_TEST_ALONE";

/// Whether this is the process of test `name` (with its module). If it is not, runs the test in one and fails if it fails there.
pub fn is_alone(name: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let arguments = [name, "--exact", "--include-ignored", "--nocapture"];
    let output = Command::new(std::env::current_exe().unwrap()).args(arguments).env(ALONE, "").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}{err}");
    // No test has a name that is wrong here.
    assert!(output.status.success() && out.contains(" 1 passed;"), "{name} in a process of its own: {}", output.status);
    false
}
