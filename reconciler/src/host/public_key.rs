//! Public SSH keys, of operators and of hosts, as they are written in `authorized_keys`.

use std::fmt;
use std::str::FromStr;

use russh::keys::{Algorithm, HashAlg, PublicKey as Key};
use serde::{Deserialize, Serialize};

/// The longest line that is read as a key, in bytes; RSA with 16384 bits needs less than 3000.
const LONGEST: usize = 8192;

/// A public SSH key with its comment. Its private half is nowhere near.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(Key);

impl PublicKey {
    /// As russh knows it.
    pub fn key(&self) -> &Key {
        &self.0
    }

    /// Whether both are the same key, whatever their comments say.
    pub fn is(&self, other: &Key) -> bool {
        self.0.key_data() == other.key_data()
    }

    /// What `ssh-keygen -l` shows.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The algorithm that sshd is asked about: RSA keys sign with SHA-2 only (RFC 8332).
    pub fn hash(&self) -> Option<HashAlg> {
        matches!(self.0.algorithm(), Algorithm::Rsa { .. }).then_some(HashAlg::Sha512)
    }

    /// A key that a host may show: one whose signatures are verified here.
    ///
    /// # Errors
    /// The text is not a key, or of a kind whose signatures are not verified here.
    pub fn of_host(text: &str) -> Result<Self, String> {
        let key: Self = text.parse()?;
        match key.0.algorithm() {
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(key),
            other => Err(format!(
                "{other} host keys are not supported: name the host's ed25519 or ecdsa key"
            )),
        }
    }
}

impl From<Key> for PublicKey {
    fn from(key: Key) -> Self {
        Self(key)
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(60).collect();
        let text = text.trim();
        let name = text.split_whitespace().next().unwrap_or_default();
        if name.contains("-cert-v") {
            return Err(format!(
                "{shown:?} is a certificate, which ends by itself, and a host is not to be judged \
                 by that: name the plain key"
            ));
        }
        if name == "ssh-dss" {
            return Err("DSA keys are accepted by no sshd any more".to_owned());
        }
        if text.len() > LONGEST || text.contains(['\n', '\r']) {
            return Err(format!("{shown:?} is not one public key"));
        }
        match Key::from_openssh(text) {
            Ok(key) if !matches!(key.algorithm(), Algorithm::Other(_)) => Ok(Self(key)),
            Ok(key) => Err(format!("{} keys are not supported", key.algorithm())),
            Err(_) => Err(format!(
                "{shown:?} is not a public key such as \"ssh-ed25519 AAAA… name\", without options"
            )),
        }
    }
}

impl TryFrom<String> for PublicKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key that was read can be written.
        f.write_str(&self.0.to_openssh().map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with ssh-keygen; the private halves were thrown away.
    const KEYS: [(&str, &str); 4] = [
        (
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFucuLfGiPO6o/7MVYEssN4oJf97OdPxncH39NUnrhLE alice",
            "SHA256:COiIKtvGotrj0TJC/K3cr2BI2XyTrIqdnKbBZlqlY4U",
        ),
        (
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBM4B/R1Q6RqICqSHOJJSYBoyFOsjPLLThPZRa7sX74owM3sfuubnpEMFYQxYQFnxMbfpivyGeLag+Ft2LrNZ/1Q= alice",
            "SHA256:ckPG3G1Aq1XB+vYha3PwylAZ12pgTnm5y62Bf+kQMnk",
        ),
        (
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDOIXXUuO4FhUBlxLKpcrUzifogxvXbjqoC55k8X30PXYbL/xY+yr7Yo8BHJpM9BxbnAqAJ++xcLKzL6pMn09Ww/2zNDjz+zPuVxKoWsGLnXHNttWkrZPrUXK6dmx5LjNIlYxM9IdzKWdfJCBBRoFI2y4LgLrbPIn1aWQMJZINh8KWGLNktfDAqYezjD42iPuziDjyhs8MMoe55l2tjSbIcFCuhxvjvn2Os7mepXz2/POS9rb0BxlE5girOLX8JmgNCPglrezOhthpbew3d+PgZ3tIDtgKPDqhN97OFR98sui+/VBhIm0CM3CIkeN9qu4Sng9qd4N6d6Q9I1QJw/j7UOsin5lODpaDbJYA5MQ8AElfCGwzzWsh2mfV0oeb4brdTSkSVHVQzdrZza55hfQEHTn9z4cAoFc24Y1Rc7Kaf1PCorgKCvMpuQNWJzPPbeW2uc93if5FUuWmXtdbQd+ILqGwa9NaK2sGTF4WUdcvgFJDHmWJ2yUfxmnh5qLkjIj0= alice",
            "SHA256:gz7b+ytHPSY/sFLxhCfQ2ItjZxJ9bKh/exTkrcvO/PU",
        ),
        (
            "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIHykJ31B2wJ+3od7ySbWR1LI5ke3DHTh4Ep+snSKoZF+AAAABHNzaDo= alice",
            "SHA256:eqaZ8XegJ4hODPkfMlajbijfdeX73yt1uzl1GunA98c",
        ),
    ];

    #[test]
    fn every_kind_of_key_that_sshd_takes_is_read_and_written() {
        for (text, fingerprint) in KEYS {
            let key: PublicKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(key.fingerprint(), fingerprint);
            assert_eq!(key.hash().is_some(), text.starts_with("ssh-rsa"));
            let written = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<PublicKey>(&written).unwrap(), key);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        for (text, words) in [
            ("", "is not a public key"),
            ("ssh-ed25519 AAAA", "is not a public key"),
            (
                "restrict ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
                "without options",
            ),
            ("ssh-ed25519-cert-v01@openssh.com AAAA", "is a certificate"),
            ("ssh-dss AAAA", "DSA"),
        ] {
            let said = text.parse::<PublicKey>().unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
        let two = format!("{}\n{}", KEYS[0].0, KEYS[1].0);
        assert!(two.parse::<PublicKey>().is_err());
        let rsa = KEYS.iter().find(|(text, _)| text.starts_with("ssh-rsa"));
        let said = PublicKey::of_host(rsa.unwrap().0).unwrap_err();
        assert!(said.contains("ed25519 or ecdsa"), "{said}");
        PublicKey::of_host(KEYS[0].0).unwrap();
    }
}
