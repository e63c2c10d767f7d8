//! The signature of a manifest: what `ssh-keygen -Y sign -n nixus-manifest` makes of its bytes
//! (OpenSSH, PROTOCOL.sshsig), so that anybody can check it without Nixus.

use russh::keys::ssh_key::{self, HashAlg, LineEnding, SshSig};
use russh::keys::{Algorithm, PrivateKey};
use thiserror::Error;

use crate::host::public_key::PublicKey;
use crate::source::FoundManifest;

/// Nothing but manifests is signed under this name.
const NAMESPACE: &str = "nixus-manifest";

/// Why a manifest is not believed.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// It has none.
    #[error("it is not signed, and closure.manifest_keys names who must have done so")]
    Missing,
    /// It is not a signature.
    #[error("it has a signature that cannot be read: {0}")]
    Unreadable(String),
    /// Somebody else made it.
    #[error("it is signed by a key that closure.manifest_keys does not have: {0}")]
    Stranger(String),
    /// It is of something else.
    #[error("it has a signature that does not fit it")]
    Wrong,
}

/// Whether one of these keys has signed what was found. Without keys, nobody need have.
///
/// # Errors
/// None has.
pub fn check(found: &FoundManifest, keys: &[PublicKey]) -> Result<(), SignatureError> {
    if keys.is_empty() {
        return Ok(());
    }
    let text = found.signature.as_ref().ok_or(SignatureError::Missing)?;
    let signature =
        SshSig::from_pem(text).map_err(|error| SignatureError::Unreadable(error.to_string()))?;
    let by = signature.public_key();
    let key = keys.iter().find(|key| key.key().key_data() == by);
    let Some(key) = key else {
        let by = ssh_key::PublicKey::from(by.clone());
        let fingerprint = by.fingerprint(HashAlg::Sha256).to_string();
        return Err(SignatureError::Stranger(fingerprint));
    };
    key.key()
        .verify(NAMESPACE, &found.text, &signature)
        .map_err(|_| SignatureError::Wrong)
}

/// Why a manifest could not be signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// Hosts believe no other kind of key.
    #[error("a manifest is signed with an ed25519 key, and this is {0}")]
    Kind(Algorithm),
    /// The key did not sign.
    #[error("cannot sign the manifest")]
    Sign(#[source] ssh_key::Error),
}

/// Signs the bytes of a manifest.
///
/// # Errors
/// The key cannot sign.
pub fn sign(text: &[u8], key: &PrivateKey) -> Result<String, SignError> {
    if key.algorithm() != Algorithm::Ed25519 {
        return Err(SignError::Kind(key.algorithm()));
    }
    key.sign(NAMESPACE, HashAlg::Sha512, text)
        .and_then(|signature| signature.to_pem(LineEnding::LF))
        .map_err(SignError::Sign)
}
