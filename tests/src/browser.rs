//! A browser without a screen, to see what people see.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::command;
use crate::namespace::Access;
use crate::setup::{self, PATH};

/// It may have to start while everything else does.
const LIMIT: Duration = Duration::from_secs(120);

/// A page as a browser has it once its scripts have run, and a picture of it. Only its network is the
/// lab's: the rest of a lab has no place for a browser.
///
/// # Errors
/// When there is no browser, or it does not come to an end.
pub fn look(access: &Access, url: &str, picture: &Path) -> Result<String> {
    setup::install(&[("chromium", "chromium")])?;
    let home = tempfile::tempdir()?;
    let browser = |what: &str| {
        let mut chromium = Command::new("nsenter");
        chromium
            .args(["--target", &access.pid.to_string(), "--net", "--"])
            .args(["chromium", "--headless", "--no-sandbox", "--disable-gpu"])
            // Nothing but the page is asked for.
            .args(["--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-quic"])
            .args(["--no-first-run", "--ignore-certificate-errors"])
            .arg(format!("--user-data-dir={}", home.path().display()))
            .args(["--window-size=1280,1600", what, url])
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", home.path());
        command::must(&mut chromium, None, LIMIT)
    };
    browser(&format!("--screenshot={}", picture.display()))?;
    browser("--dump-dom")
}
