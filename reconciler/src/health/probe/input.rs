//! One request on standard input, read to its end: neither too much nor for too long.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::health::protocol::LIMIT;

/// A caller has this long to say what it wants.
const SAY: Duration = Duration::from_secs(10);

/// What came in.
pub fn read() -> io::Result<Vec<u8>> {
    read_from(io::stdin().lock(), SAY)
}

// A thread that reads would outlive its time; so nothing is read that is not there.
fn read_from(mut from: impl Read + AsFd, limit: Duration) -> io::Result<Vec<u8>> {
    let end = Instant::now() + limit;
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], left)? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        let count = from.read(&mut chunk)?;
        if count == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&chunk[..count]);
        if bytes.len() > LIMIT {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_too_long_or_too_slow_is_given_up() {
        let limit = Duration::from_millis(300);
        let (from, mut to) = io::pipe().unwrap();
        to.write_all(b"{}").unwrap();
        assert_eq!(
            read_from(&from, limit).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        to.write_all(b"{}").unwrap();
        drop(to);
        assert_eq!(read_from(&from, limit).unwrap(), b"{}");
        let (from, mut to) = io::pipe().unwrap();
        let endless = std::thread::spawn(move || while to.write_all(&[b' '; 1024]).is_ok() {});
        assert_eq!(
            read_from(&from, limit * 10).unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
        drop(from);
        endless.join().unwrap();
    }
}
