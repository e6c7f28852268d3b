//! From an address and the environment to a link.

use std::time::Duration;

use anyhow::anyhow;

use crate::cli::failure::{Failure, usage};
use crate::experiment::interrupt;
use crate::flink::{Address, Credentials, HttpLink};

/// A link to the cluster at `address`, which was given by the flag `flag`; no request takes longer than `timeout`.
pub(in crate::cli) fn connect(flag: &str, address: &str, timeout: Duration) -> Result<HttpLink, Failure> {
    let address = Address::read(address).map_err(|why| usage(anyhow!("--{flag}: {why}")))?;
    let credentials = Credentials::from_environment(|name| std::env::var(name).ok()).map_err(usage)?;
    if credentials.is_there() && address.is_exposed() {
        eprintln!("thalweg: warning: the credential is sent without encryption to another machine: use https://");
    }
    Ok(HttpLink::new(address, credentials, timeout, interrupt::asked))
}
