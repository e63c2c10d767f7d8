//! Programs of others that are built from their Go modules, once, and kept in the lab's cache.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::command;
use crate::setup::PATH;

/// The longest that a build may take.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// The Go toolchain in a folder.
pub fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    let own = env::var("PATH").unwrap_or_default();
    command
        .current_dir(folder)
        .env("PATH", format!("{own}:/usr/local/go/bin:{PATH}"))
        // Whatever this process was started in is not part of the build.
        .env("GOWORK", "off")
        .env("GOFLAGS", "-mod=mod -trimpath");
    command
}

/// Whether there is a toolchain.
pub fn is_there() -> bool {
    let mut version = go(Path::new("/"));
    command::run(version.arg("version"), None, Duration::from_secs(60)).is_ok()
}

/// Nothing, with one line that says so.
///
/// # Errors
/// In CI, which does without nothing.
pub fn skip<T>(what: &str, why: &str) -> Result<Option<T>> {
    if env::var_os("CI").is_some() {
        bail!("{what} cannot be built, and CI does not do without it: {why}");
    }
    eprintln!("SKIPPED: tests against a real {what}: {why}");
    Ok(None)
}
