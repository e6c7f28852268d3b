//! Host file: the address of each process of a job, one per line, in the format that timely's own
//! programs read.

use std::collections::BTreeSet;

/// A line that names no place, or too few lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}, found {found}")]
pub struct HostsError {
    /// The line, from 1.
    pub line: usize,
    /// What should have stood there.
    pub expected: String,
    /// What stood there.
    pub found: String,
}

/// The addresses in `text`, `host:port`, one a line; the first `processes` of them, if it is given.
///
/// ```
/// use thalweg::engine::cluster::read_hosts;
///
/// assert_eq!(read_hosts("10.0.0.1:2101\n10.0.0.2:2101\n", None).unwrap(), ["10.0.0.1:2101", "10.0.0.2:2101"]);
/// let error = read_hosts("10.0.0.1:2101\n10.0.0.2\n", None).unwrap_err();
/// assert_eq!(error.to_string(), "line 2: expected host:port, found '10.0.0.2'");
/// ```
///
/// # Errors
/// At the first line that is no address or has stood there before, and when there are fewer lines
/// than processes.
pub fn read_hosts(text: &str, processes: Option<u32>) -> Result<Vec<String>, HostsError> {
    let most = processes.map_or(usize::MAX, |processes| processes as usize);
    let mut seen = BTreeSet::new();
    let mut addresses = Vec::new();
    for (line, text) in (1..).zip(text.lines()).take(most) {
        let address = text.trim();
        let wrong = |expected: &str| HostsError { line, expected: expected.to_owned(), found: format!("'{address}'") };
        let (host, port) = address.rsplit_once(':').ok_or_else(|| wrong("host:port"))?;
        let whole = !host.is_empty() && !host.contains(char::is_whitespace) && (!host.contains(':') || host.starts_with('['));
        if !whole || port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err() {
            return Err(wrong("host:port, with a port from 1 to 65535"));
        }
        if !seen.insert(address) {
            return Err(wrong("an address of its own for each process"));
        }
        addresses.push(address.to_owned());
    }
    let needed = processes.unwrap_or(1) as usize;
    if addresses.len() < needed {
        let (line, found) = (addresses.len() + 1, "the end of the file".to_owned());
        return Err(HostsError { line, expected: format!("host:port for each of {needed} processes"), found });
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_named_with_what_was_expected() {
        let error = |text: &str, processes| read_hosts(text, processes).unwrap_err().to_string();
        let port = "expected host:port, with a port from 1 to 65535";
        assert_eq!(error("a:1\nb:70000", None), format!("line 2: {port}, found 'b:70000'"));
        assert_eq!(error("a:0", None), format!("line 1: {port}, found 'a:0'"));
        assert_eq!(error("::1", None), format!("line 1: {port}, found '::1'"));
        assert_eq!(error("a:1\n\nb:1", None), "line 2: expected host:port, found ''");
        assert_eq!(error("a:1\na:1", None), "line 2: expected an address of its own for each process, found 'a:1'");
        assert_eq!(error("a:1", Some(2)), "line 2: expected host:port for each of 2 processes, found the end of the file");
        assert_eq!(error("", None), "line 1: expected host:port for each of 1 processes, found the end of the file");
        assert_eq!(read_hosts("[::1]:1\nnonsense", Some(1)).unwrap(), ["[::1]:1"]);
    }
}
