//! What of the lab's NixOS hosts is not as nixpkgs would build it, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::Deserialize;

const TEXT: &str = include_str!("../../nix/nixos/differences.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Differences {
    debian: Reason,
    linked: Names,
    stubs: BTreeMap<String, String>,
    units: Names,
    options: BTreeMap<String, String>,
    machine: BTreeMap<String, String>,
    tree: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    reason: String,
    names: Vec<String>,
}

/// The list, as it is printed.
///
/// # Errors
/// When it does not have the form that it is read by.
pub fn list() -> Result<String> {
    let differences: Differences =
        toml::from_str(TEXT).context("cannot understand differences.toml")?;
    let mut text = format!("Packages\n  {}.\n", differences.debian.reason);
    let mut names = |title: &str, names: &Names| {
        writeln!(
            text,
            "\n{title}\n  {}: {}.",
            names.reason,
            names.names.join(", ")
        )
    };
    names("Linked although they have no source", &differences.linked)?;
    names("Units that are left out", &differences.units)?;
    let mut each = |title: &str, entries: &BTreeMap<String, String>| {
        writeln!(text, "\n{title}")?;
        entries
            .iter()
            .try_for_each(|(name, reason)| writeln!(text, "  {name}: {reason}."))
    };
    each("Programs that do nothing", &differences.stubs)?;
    each("Options", &differences.options)?;
    each("Machines", &differences.machine)?;
    each("The disk", &differences.tree)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_has_its_reason() {
        let text = list().unwrap();
        assert!(text.contains("\n  boot.isContainer: The hosts are containers"));
        assert!(text.contains("which Debian's 257 has not: systemd-ask-password.socket,"));
        assert!(!text.contains(": ."), "{text}");
    }
}
