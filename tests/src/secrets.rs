//! Secrets of a lab's fleet: sealed as `nixus secrets` does, without an evaluation of the fleet.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use nixus::secrets::ciphertext;
pub use nixus::secrets::generation::LINK;
use nixus::secrets::recipient::Recipient;

use crate::fleet;
use crate::laboratory::Lab;

/// A host's public SSH host key.
///
/// # Errors
/// When there is no such host.
pub fn host_key(lab: &Lab, host: &str) -> Result<String> {
    let member = lab.members().get(host);
    let member = member.with_context(|| format!("there is no host {host}"))?;
    Ok(member.host_key.public.clone())
}

/// The operator's public key.
///
/// # Errors
/// When it cannot be read.
pub fn operator_key(lab: &Lab) -> Result<String> {
    let key = fleet::read(&lab.operator().key().with_extension("pub"))?;
    Ok(key.trim().to_owned())
}

/// Puts a secret into the operator's clone, sealed to these hosts and the operator; gives its path.
///
/// # Errors
/// When it cannot be sealed or written.
pub fn put(lab: &Lab, file: &str, hosts: &[&str], plaintext: &[u8]) -> Result<PathBuf> {
    let mut keys = vec![operator_key(lab)?];
    for host in hosts {
        keys.push(host_key(lab, host)?);
    }
    put_for(lab, file, &keys, plaintext)
}

/// The same, sealed to these public keys.
///
/// # Errors
/// When it cannot be sealed or written.
pub fn put_for(lab: &Lab, file: &str, keys: &[String], plaintext: &[u8]) -> Result<PathBuf> {
    let keys: Vec<Recipient> = keys
        .iter()
        .map(|key| key.parse().with_context(|| format!("{key} is not a key")))
        .collect::<Result<_>>()?;
    let sealed = ciphertext::seal(plaintext, &keys).context("cannot seal a secret")?;
    write(lab, file, &sealed)
}

/// Puts any bytes into the operator's clone.
///
/// # Errors
/// When they cannot be written.
pub fn write(lab: &Lab, file: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = lab.operator().clone_path().join(file);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
