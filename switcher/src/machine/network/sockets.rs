//! What this host's own sshd listens on.

use std::fs;
use std::io;

use nix::sys::socket::SockProtocol;

use super::{ENTRIES, LIMIT, dump, messages};
use crate::state::bounded::read_bounded;
use crate::state::layout::Layout;

// linux/sock_diag.h, linux/inet_diag.h, linux/socket.h, linux/in.h, net/tcp_states.h
const BY_FAMILY: u16 = 20;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const TCP: u8 = 6;
const LISTEN: u32 = 10;

/// What the processes of sshd's own unit listen on. A socket that systemd holds for it is a unit.
pub(super) fn of_sshd(layout: &Layout) -> Vec<String> {
    let mut inodes = Vec::new();
    for unit in ["sshd.service", "ssh.service"] {
        let path = format!("/sys/fs/cgroup/system.slice/{unit}/cgroup.procs");
        let text = read_bounded(&layout.at(path), LIMIT).unwrap_or_default();
        for pid in String::from_utf8_lossy(&text).lines() {
            let Ok(open) = fs::read_dir(layout.at(format!("/proc/{pid}/fd"))) else {
                continue;
            };
            inodes.extend(open.flatten().take(ENTRIES).filter_map(|entry| {
                let to = fs::read_link(entry.path()).ok()?;
                let inode = to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                Some(inode.to_owned())
            }));
        }
    }
    if inodes.is_empty() {
        return Vec::new();
    }
    [(IPV4, "tcp"), (IPV6, "tcp6")]
        .iter()
        .flat_map(|(family, file)| {
            listening(*family, &inodes).unwrap_or_else(|_| {
                // A kernel without it; this walks the table of all connections, and takes 5 ms.
                let path = layout.at(format!("/proc/net/{file}"));
                let text = read_bounded(&path, LIMIT).unwrap_or_default();
                in_text(&String::from_utf8_lossy(&text), &inodes)
            })
        })
        .collect()
}

/// The listening sockets among these, which the kernel keeps apart (sock_diag(7)). The addresses are
/// written as proc(5) has them.
fn listening(family: u8, inodes: &[String]) -> io::Result<Vec<String>> {
    let mut what = vec![family, TCP, 0, 0];
    what.extend((1_u32 << LISTEN).to_ne_bytes());
    // struct inet_diag_req_v2 ends with a struct inet_diag_sockid, which is not looked at in a dump.
    what.resize(8 + 48, 0);
    let told = dump(SockProtocol::NetlinkSockDiag, BY_FAMILY, &what)?;
    Ok(messages(&told)
        .filter(|(kind, _)| *kind == BY_FAMILY)
        .filter_map(|(_, body)| socket_in(body))
        .filter(|(inode, _)| inodes.contains(inode))
        .map(|(_, local)| local)
        .collect())
}

/// The inode and the local address in a struct inet_diag_msg.
pub(super) fn socket_in(body: &[u8]) -> Option<(String, String)> {
    let words = match *body.first()? {
        IPV4 => 1,
        IPV6 => 4,
        _ => return None,
    };
    let port = u16::from_be_bytes(body.get(4..6)?.try_into().ok()?);
    let mut local = String::new();
    for word in body.get(8..8 + 4 * words)?.chunks_exact(4) {
        local += &format!("{:08X}", u32::from_ne_bytes(word.try_into().ok()?));
    }
    let inode = u32::from_ne_bytes(body.get(68..72)?.try_into().ok()?);
    Some((inode.to_string(), format!("{local}:{port:04X}")))
}

/// The listening sockets among these (proc(5), /proc/net/tcp): state 0A.
pub(super) fn in_text(text: &str, inodes: &[String]) -> Vec<String> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
            let ours = *state == "0A" && inodes.iter().any(|one| one == inode);
            ours.then(|| (*local).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn the_kernel_tells_the_same_as_its_table_of_all_connections() {
        for (address, family, file) in [("127.0.0.1:0", IPV4, "tcp"), ("[::1]:0", IPV6, "tcp6")] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let link = format!("/proc/self/fd/{}", listener.as_raw_fd());
            let link = fs::read_link(link).unwrap();
            let inode = link.to_str().unwrap();
            let inode = inode
                .strip_prefix("socket:[")
                .unwrap()
                .strip_suffix(']')
                .unwrap();
            let inodes = [inode.to_owned()];
            let text = fs::read_to_string(format!("/proc/net/{file}")).unwrap();
            let told = listening(family, &inodes).unwrap();
            assert_eq!(told, in_text(&text, &inodes));
            assert_eq!(told.len(), 1);
        }
    }
}
