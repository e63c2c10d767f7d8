//! What the switcher keeps on disk, durable before what follows from it: the journal, the history, GC roots, the
//! system profile.

pub mod boot_mark;
pub(crate) mod boot_proven;
pub mod bounded;
pub mod disk;
pub mod format;
pub mod history;
pub mod holder;
pub mod journal;
pub mod layout;
pub mod lock_file;
pub mod network;
pub mod profile;
pub mod roots;
pub mod status;
