//! Asks a person for the passphrase of a private key, on the terminal and without showing it.

use age::Callbacks;
use age::secrecy::SecretString;

/// Asks on the terminal of this process, as ssh does: standard input may be the secret itself.
#[derive(Debug, Clone, Copy)]
pub struct Ask;

impl Callbacks for Ask {
    fn display_message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        let typed = rpassword::prompt_password(format!("{description}: ")).ok()?;
        Some(SecretString::from(typed))
    }
}
