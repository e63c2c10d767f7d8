//! Users and groups of this host, by name or number.

use nix::unistd::{Gid, Group, Uid, User};
use thiserror::Error;

/// Why a secret has no owner.
#[derive(Debug, Error)]
pub enum AccountError {
    /// Nobody is called that.
    #[error("there is no {kind} {name}")]
    None {
        /// User or group.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The host could not be asked.
    #[error("cannot look up the {kind} {name}")]
    LookUp {
        /// User or group.
        kind: &'static str,
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: nix::Error,
    },
}

/// A user's number.
///
/// # Errors
/// There is no such user, or the accounts cannot be looked up.
pub fn user(name: &str) -> Result<Uid, AccountError> {
    if let Ok(number) = name.parse() {
        return Ok(Uid::from_raw(number));
    }
    find(
        "user",
        name,
        User::from_name(name).map(|user| user.map(|user| user.uid)),
    )
}

/// A group's number.
///
/// # Errors
/// There is no such group, or the accounts cannot be looked up.
pub fn group(name: &str) -> Result<Gid, AccountError> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    find(
        "group",
        name,
        Group::from_name(name).map(|group| group.map(|group| group.gid)),
    )
}

fn find<T>(
    kind: &'static str,
    name: &str,
    found: nix::Result<Option<T>>,
) -> Result<T, AccountError> {
    let name = name.to_owned();
    match found {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(AccountError::None { kind, name }),
        Err(source) => Err(AccountError::LookUp { kind, name, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_number() {
        assert_eq!(user("root").unwrap().as_raw(), 0);
        assert_eq!(group("root").unwrap().as_raw(), 0);
        assert_eq!(user("4711").unwrap().as_raw(), 4711);
        assert_eq!(group("4711").unwrap().as_raw(), 4711);
        let said = user("no-such-user").unwrap_err().to_string();
        assert_eq!(said, "there is no user no-such-user");
    }
}
