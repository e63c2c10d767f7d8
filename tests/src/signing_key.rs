//! Keys that sign store paths, made of the lab's SSH keys: systems that trust them can be cached.

use anyhow::{Context as _, Result};
use base64ct::{Base64, Encoding as _};
use russh::keys::PrivateKey;

use crate::fleet;
use crate::keys::{self, Key};
use crate::setup;

/// A key that signs store paths, in Nix's notation (`nix key generate-secret`).
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// What hosts trust: `name:base64`.
    pub public: String,
    pub(crate) secret: String,
}

impl SigningKey {
    /// An SSH key of the lab under a name of Nix's. Both are ed25519: the secret half is seed and
    /// public key, as libsodium has it.
    ///
    /// # Errors
    /// When the key is not one that `ssh-keygen` made for the lab.
    pub fn of(key: &Key, name: &str) -> Result<Self> {
        let text = fleet::read(&key.path)?;
        let read = PrivateKey::from_openssh(&text)
            .with_context(|| format!("cannot understand {}", key.path.display()))?;
        let pair = read.key_data().ed25519().context("no ed25519 key")?;
        let half = |bytes: &[u8]| format!("{name}:{}", Base64::encode_string(bytes));
        Ok(Self {
            public: half(&pair.public.0),
            secret: half(&pair.to_bytes()),
        })
    }

    /// The key of the lab's caches.
    ///
    /// # Errors
    /// Those of [`SigningKey::of`].
    pub fn trusted() -> Result<Self> {
        Self::of(&keys::key(&setup::prepare()?, "cache")?, "lab-1")
    }

    /// A key that calls itself as the trusted one does, and is another.
    ///
    /// # Errors
    /// Those of [`SigningKey::of`].
    pub fn impostor() -> Result<Self> {
        Self::of(&keys::key(&setup::prepare()?, "impostor")?, "lab-1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signing_key_is_the_ssh_key_in_nixs_notation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        keys::make(&path).unwrap();
        let public = fleet::read(&path.with_extension("pub")).unwrap();
        let key = Key { path, public };
        let made = SigningKey::of(&key, "lab-1").unwrap();
        let bytes = |text: &str| {
            let (name, base64) = text.split_once(':').unwrap();
            assert_eq!(name, "lab-1");
            Base64::decode_vec(base64).unwrap()
        };
        let (public, secret) = (bytes(&made.public), bytes(&made.secret));
        assert_eq!((public.len(), secret.len()), (32, 64));
        assert!(secret.ends_with(&public));
        // OpenSSH's notation: the last 32 bytes of the line are the same key.
        let line = key.public.split_whitespace().nth(1).unwrap();
        assert!(Base64::decode_vec(line).unwrap().ends_with(&public));
    }
}
