//! Secrets: ciphertext in the deploy repository, opened on the hosts that need them.
//!
//! Files are in the format of age (age-encryption.org/v1), encrypted to the hosts' SSH host keys and to the
//! operators' keys. The ciphertext is a part of the toplevel, so that each generation has its own secrets,
//! however it comes to run.
//!
//! Invariants:
//! - Plaintext is in memory that is wiped, on a ramfs, or, for an editor, on a tmpfs. Nowhere else.
//! - Who a file is encrypted to follows from the fleet ([`fleet`]); no list is kept by hand.
//! - One secret that cannot be opened takes no other away.
//! - Whatever is read has a limit.

pub mod accounts;
pub mod activation;
pub mod candidate;
pub mod ciphertext;
pub mod cli;
pub mod description;
pub mod fleet;
pub mod generation;
pub mod identity;
pub mod links;
pub mod memory;
pub mod operator;
pub mod passphrase;
pub mod recipient;
pub mod scratch;
pub mod units;

/// The longest plaintext, in bytes: keys, certificates and passwords are far below it.
pub const LONGEST: usize = 1024 * 1024;

/// The longest file in the repository. Armour adds a third, and each recipient some 200 bytes.
pub const LONGEST_FILE: usize = 2 * 1024 * 1024;
