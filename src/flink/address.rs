//! Where a cluster is, and what it wants to know of who asks.
//!
//! Credentials come from the environment alone: arguments are seen in the list of processes and kept in
//! histories. [`Credentials`] has no way to be printed.

use std::fmt;

/// Environment variable with a bearer token.
pub const TOKEN: &str = "THALWEG_FLINK_TOKEN";
/// Environment variable with a user of basic authentication...
pub const USER: &str = "THALWEG_FLINK_USER";
/// ... and the one with the password.
pub const PASSWORD: &str = "THALWEG_FLINK_PASSWORD";

/// The longest address.
const MOST_BYTES: usize = 2048;

/// The root of a REST interface: scheme, host and port, perhaps a path, never a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    text: String,
    is_encrypted: bool,
    is_local: bool,
}

/// Why a text is no address. What was found is not repeated where it may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme, or none.
    #[error("expected an address that begins with http:// or https://, found '{0}'")]
    Scheme(String),
    /// A user or a password in it.
    #[error("expected an address without user and password: set {USER} and {PASSWORD}, or {TOKEN}, in the environment")]
    Credential,
    /// A query or a fragment.
    #[error("expected the root of the REST interface, such as http://host:8081, found a query or a fragment")]
    Query,
    /// No host, or what no host can have.
    #[error("expected a host after the scheme, such as http://host:8081")]
    Host,
    /// No port that there can be.
    #[error("expected a port from 1 to 65535, found '{0}'")]
    Port(String),
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none, or has a credential in it.
    pub fn read(text: &str) -> Result<Address, AddressError> {
        let trimmed = text.trim().trim_end_matches('/');
        let lower = trimmed.to_ascii_lowercase();
        let (is_encrypted, rest) = match (lower.strip_prefix("http://"), lower.strip_prefix("https://")) {
            (Some(_), _) => (false, &trimmed["http://".len()..]),
            (_, Some(_)) => (true, &trimmed["https://".len()..]),
            // Up to its first '@' it might be a password.
            _ if trimmed.contains('@') => return Err(AddressError::Credential),
            _ => return Err(AddressError::Scheme(trimmed.chars().take(60).collect())),
        };
        if rest.contains('@') {
            return Err(AddressError::Credential);
        }
        if rest.contains(['?', '#']) {
            return Err(AddressError::Query);
        }
        let authority = rest.split('/').next().unwrap_or_default();
        // An IPv6 address is in brackets.
        let (host, port) = match authority.rfind(']') {
            Some(end) => (&authority[..=end], authority[end + 1..].strip_prefix(':')),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let is_plain = |c: char| c.is_ascii_graphic() && !"\\<>\"{}|^`".contains(c);
        if host.is_empty() || text.len() > MOST_BYTES || !rest.chars().all(is_plain) {
            return Err(AddressError::Host);
        }
        if let Some(port) = port
            && !port.parse().is_ok_and(|port: u16| port > 0)
        {
            return Err(AddressError::Port(port.chars().take(20).collect()));
        }
        let scheme = if is_encrypted { "https" } else { "http" };
        let bare = host.trim_matches(['[', ']']);
        let is_local = bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        Ok(Address { text: format!("{scheme}://{rest}"), is_encrypted, is_local })
    }

    /// The whole address of a path.
    pub(super) fn of(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// Whether a credential could be read on its way: unencrypted, and not within this machine.
    pub fn is_exposed(&self) -> bool {
        !self.is_encrypted && !self.is_local
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The value of the header `Authorization`, if one is to be sent. Cannot be printed.
#[derive(Clone, Default)]
pub struct Credentials {
    header: Option<String>,
    /// What must not be repeated, should a cluster send it back.
    secrets: Vec<String>,
}

/// Why the environment has no usable credential; names variables, never their values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Two kinds at once.
    #[error("expected {TOKEN} or {USER} with {PASSWORD}, found both")]
    Both,
    /// A user without a password, or the other way round.
    #[error("expected both {USER} and {PASSWORD}, found one of them")]
    Half,
    /// What no header can have.
    #[error("{0}: expected printable ASCII, found something else")]
    Unprintable(&'static str),
}

impl Credentials {
    /// What the environment has, by `variable`, which gives the value of one.
    ///
    /// # Errors
    /// When it is incomplete or cannot be sent.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Credentials, CredentialsError> {
        let set =
            |name: &'static str| variable(name).map(|value| value.trim_end_matches(['\r', '\n']).to_owned()).filter(|v| !v.is_empty());
        match (set(TOKEN), set(USER), set(PASSWORD)) {
            (None, None, None) => Ok(Credentials::default()),
            (Some(token), None, None) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Credentials { header: Some(format!("Bearer {token}")), secrets: vec![token] })
            }
            (Some(_), None, None) => Err(CredentialsError::Unprintable(TOKEN)),
            (Some(_), ..) => Err(CredentialsError::Both),
            (None, Some(user), Some(_)) if user.contains(':') || user.chars().any(char::is_control) => {
                Err(CredentialsError::Unprintable(USER))
            }
            (None, Some(user), Some(password)) => {
                let both = base64(format!("{user}:{password}").as_bytes());
                Ok(Credentials { header: Some(format!("Basic {both}")), secrets: vec![both, password] })
            }
            (None, ..) => Err(CredentialsError::Half),
        }
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.header.is_some()
    }

    /// The header's value.
    pub(super) fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }

    /// A text without those secrets in it that have `least` bytes or more.
    pub(super) fn without_secrets(&self, text: String, least: usize) -> String {
        // As in JSON, too.
        let quoted = |secret: &String| secret.replace('\\', "\\\\").replace('"', "\\\"");
        self.secrets.iter().filter(|secret| secret.len() >= least).fold(text, |text, secret| {
            let text = if text.contains(secret.as_str()) { text.replace(secret.as_str(), "***") } else { text };
            if text.contains(&quoted(secret)) { text.replace(&quoted(secret), "***") } else { text }
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_there() { "Credentials(set)" } else { "Credentials(none)" })
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host_and_no_credential() {
        for (text, expected) in [
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("HTTPS://flink.example.org/prod/", "https://flink.example.org/prod"),
            (" http://[::1]:8081/ ", "http://[::1]:8081"),
        ] {
            assert_eq!(Address::read(text).map(|address| address.to_string()), Ok(expected.to_owned()));
        }
        for text in [
            "",
            "localhost:8081",
            "ftp://x",
            "http://",
            "http:///x",
            "http://a b",
            "http://h:0",
            "http://h:99999",
            "http://h:x",
            "http://h\u{e9}",
        ] {
            assert!(Address::read(text).is_err(), "{text}");
        }
        assert!(Address::read(&format!("http://{}", "h".repeat(5000))).is_err());
        for text in ["http://me:secret@host:8081", "me:secret@host", "https://secret@h", "http://h/x@secret"] {
            let error = Address::read(text).unwrap_err();
            assert_eq!(error, AddressError::Credential);
            assert!(!error.to_string().contains("secret"));
        }
        assert!(Address::read("http://h/?token=secret").is_err_and(|error| !error.to_string().contains("secret")));
        let exposed = |text| Address::read(text).unwrap().is_exposed();
        assert_eq!(
            ["http://h", "https://h", "http://127.9.9.9:1", "http://localhost", "http://[::1]"].map(exposed),
            [true, false, false, false, false]
        );
    }

    #[test]
    fn a_credential_comes_from_the_environment_and_is_never_printed() {
        let read = |set: &[(&str, &str)]| {
            Credentials::from_environment(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(read(&[]).unwrap().header(), None);
        assert_eq!(read(&[(TOKEN, "")]).unwrap().header(), None);
        let token = read(&[(TOKEN, "t0k3n\n")]).unwrap();
        assert_eq!((token.header(), format!("{token:?}").as_str()), (Some("Bearer t0k3n"), "Credentials(set)"));
        // The example of RFC 7617.
        let basic = read(&[(USER, "Aladdin"), (PASSWORD, "open sesame")]).unwrap();
        assert_eq!(basic.header(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        for wrong in [
            &[(TOKEN, "a b")][..],
            &[(TOKEN, "s3cret\u{1}")],
            &[(TOKEN, "s3cret"), (USER, "u")],
            &[(USER, "u")],
            &[(PASSWORD, "s3cret")],
            &[(USER, "a:b"), (PASSWORD, "s3cret")],
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
        let echoed = basic.without_secrets(r#"{"errors":["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== of open sesame"]}"#.to_owned(), 1);
        assert_eq!(echoed, r#"{"errors":["Basic *** of ***"]}"#);
        assert_eq!(["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())), ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }
}
