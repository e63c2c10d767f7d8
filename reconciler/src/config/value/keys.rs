//! Public keys.

use russh::keys::Algorithm;
use toml::Spanned;

use crate::config::ConfigError;
use crate::config::declare::Kind;
use crate::config::place::Place;
use crate::host::public_key::PublicKey;

/// A key that an operator logs in with.
pub struct OperatorKey;
/// A key that a host shows.
pub struct HostKey;
/// A key that signs manifests.
pub struct ManifestKey;

fn read(
    place: &Place<'_>,
    given: &Spanned<String>,
    key: impl Fn(&str) -> Result<PublicKey, String>,
) -> Result<PublicKey, ConfigError> {
    key(given.get_ref()).map_err(|problem| place.wrong(given.span().start, problem))
}

impl Kind for OperatorKey {
    type Written = String;
    type Value = PublicKey;

    fn says() -> String {
        "a public key such as `\"ssh-ed25519 AAAA… name\"`".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<PublicKey, ConfigError> {
        read(place, given, str::parse)
    }

    fn shown(value: &PublicKey) -> String {
        value.fingerprint()
    }
}

impl Kind for HostKey {
    type Written = String;
    type Value = PublicKey;

    fn says() -> String {
        "an ed25519 or ecdsa host key such as `\"ssh-ed25519 AAAA…\"`".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<PublicKey, ConfigError> {
        read(place, given, PublicKey::of_host)
    }

    fn shown(value: &PublicKey) -> String {
        value.fingerprint()
    }
}

impl Kind for ManifestKey {
    type Written = String;
    type Value = PublicKey;

    fn says() -> String {
        "an ed25519 key such as `\"ssh-ed25519 AAAA… ci\"`".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<PublicKey, ConfigError> {
        read(place, given, |text| {
            let key: PublicKey = text.parse()?;
            match key.key().algorithm() {
                Algorithm::Ed25519 => Ok(key),
                other => Err(format!(
                    "{other} keys do not sign manifests: name an ed25519 key"
                )),
            }
        })
    }

    fn shown(value: &PublicKey) -> String {
        value.to_string()
    }
}
