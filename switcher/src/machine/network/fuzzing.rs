//! What must hold of what the kernel says of the network.

use super::declared::Declared;
use super::{addresses, all_addresses, attributes, messages, paths, routes, sockets};
use crate::fuzzing::two;
use crate::holds;

/// A dump: messages, and attributes in them.
pub fn netlink(bytes: &[u8]) -> Result<(), String> {
    let read: usize = messages(bytes).map(|(_, body)| body.len()).sum();
    holds!(
        read <= bytes.len(),
        "{read} of {} bytes were read",
        bytes.len()
    );
    let read: usize = attributes(bytes).map(|(_, body)| body.len()).sum();
    holds!(
        read <= bytes.len(),
        "{read} of {} bytes were read",
        bytes.len()
    );
    let declared: Option<Declared> = serde_json::from_slice(bytes).ok();
    let found = addresses(bytes, declared.as_ref());
    let _ = (
        all_addresses(bytes),
        routes(bytes, &found, declared.as_ref()),
    );
    let _ = (paths::links(bytes), sockets::socket_in(bytes));
    Ok(())
}

/// `/proc/net/tcp`, NUL, and the number of a socket.
pub fn proc_net(bytes: &[u8]) -> Result<(), String> {
    let (text, inode) = two(bytes);
    let found = sockets::in_text(&text, &[inode]);
    holds!(
        found.iter().all(|one| text.contains(one.as_str())),
        "{found:?} is not in it"
    );
    Ok(())
}
