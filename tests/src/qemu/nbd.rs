//! Serves a disk to QEMU: the Network Block Device protocol on a Unix socket, as far as QEMU needs it
//! (<https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>).

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};

use super::disk::{Counts, Disk, Survival};

const MAGIC: &[u8; 8] = b"NBDMAGIC";
const OPTION_MAGIC: &[u8; 8] = b"IHAVEOPT";
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
/// Fixed newstyle, no zeroes.
const HANDSHAKE_FLAGS: u16 = 3;
/// Has flags, sends flush, sends FUA.
const EXPORT_FLAGS: u16 = 1 | 4 | 8;
const OPTION_ABORT: u32 = 2;
const OPTION_GO: u32 = 7;
const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const UNSUPPORTED: u32 = (1 << 31) + 1;
const FLAG_FUA: u16 = 1;
const EIO: u32 = 5;
const EINVAL: u32 = 22;
/// The longest option and the longest request, in bytes.
const LONGEST_OPTION: u32 = 64 << 10;
const LONGEST_REQUEST: u32 = 64 << 20;

/// A disk that is served to one QEMU after the other.
#[derive(Debug)]
pub struct Served {
    socket: PathBuf,
    disk: Arc<Mutex<Disk>>,
    server: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves `disk` to the first that connects to the socket, until it goes away.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(disk: Disk, socket: &Path) -> Result<Self> {
        if socket.exists() {
            std::fs::remove_file(socket)
                .with_context(|| format!("cannot remove {}", socket.display()))?;
        }
        let listener = UnixListener::bind(socket)
            .with_context(|| format!("cannot serve a disk at {}", socket.display()))?;
        let disk = Arc::new(Mutex::new(disk));
        let shared = Arc::clone(&disk);
        let server = thread::spawn(move || {
            // A client that goes away in the middle is what a power cut looks like.
            if let Ok((stream, _)) = listener.accept() {
                let _ = serve(&stream, &shared);
            }
        });
        Ok(Self {
            socket: socket.to_owned(),
            disk,
            server: Some(server),
        })
    }

    /// How many blocks a power cut would lose now.
    pub fn unflushed(&self) -> usize {
        lock(&self.disk).unflushed()
    }

    /// Cuts the disk's power, once QEMU is gone.
    ///
    /// # Errors
    /// When the image cannot be written.
    pub fn cut(mut self, survival: Survival) -> Result<Counts> {
        // A QEMU that did not come up has never connected, and is still waited for.
        drop(UnixStream::connect(&self.socket));
        if let Some(server) = self.server.take() {
            server.join().ok().context("the disk's server died")?;
        }
        let mut disk = lock(&self.disk);
        disk.cut(survival).context("cannot write the disk")?;
        Ok(disk.counts())
    }
}

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: &UnixStream, disk: &Mutex<Disk>) -> io::Result<()> {
    if !negotiate(stream, lock(disk).size())? {
        return Ok(());
    }
    loop {
        if number32(stream)? != REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let flags = number16(stream)?;
        let kind = number16(stream)?;
        let mut handle = [0; 8];
        stream.read_exact(&mut handle)?;
        let offset = number64(stream)?;
        let length = number32(stream)?;
        if length > LONGEST_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut data = Vec::new();
        let done = match kind {
            0 => {
                data.resize(length as usize, 0);
                lock(disk).read(offset, &mut data)
            }
            1 => {
                let mut written = vec![0; length as usize];
                stream.read_exact(&mut written)?;
                lock(disk).write(offset, &written, flags & FLAG_FUA != 0)
            }
            2 => return Ok(()),
            3 => lock(disk).flush(),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        };
        let error = match done {
            Ok(()) => 0,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => EINVAL,
            Err(_) => EIO,
        };
        let mut reply = REPLY.to_be_bytes().to_vec();
        reply.extend(error.to_be_bytes());
        reply.extend(handle);
        if error == 0 {
            reply.extend(data);
        }
        stream.write_all(&reply)?;
    }
}

/// Agrees on the one disk that there is; whether the client wants it.
fn negotiate(mut stream: &UnixStream, size: u64) -> io::Result<bool> {
    stream.write_all(MAGIC)?;
    stream.write_all(OPTION_MAGIC)?;
    stream.write_all(&HANDSHAKE_FLAGS.to_be_bytes())?;
    number32(stream)?;
    loop {
        let mut magic = [0; 8];
        stream.read_exact(&mut magic)?;
        let option = number32(stream)?;
        let length = number32(stream)?;
        if &magic != OPTION_MAGIC || length > LONGEST_OPTION {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut data = vec![0; length as usize];
        stream.read_exact(&mut data)?;
        match option {
            OPTION_GO => {
                // NBD_INFO_EXPORT is 0.
                let mut info = 0_u16.to_be_bytes().to_vec();
                info.extend(size.to_be_bytes());
                info.extend(EXPORT_FLAGS.to_be_bytes());
                answer(stream, option, REPLY_INFO, &info)?;
                answer(stream, option, REPLY_ACK, &[])?;
                return Ok(true);
            }
            OPTION_ABORT => {
                answer(stream, option, REPLY_ACK, &[])?;
                return Ok(false);
            }
            _ => answer(stream, option, UNSUPPORTED, &[])?,
        }
    }
}

fn answer(mut stream: &UnixStream, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let mut reply = OPTION_REPLY.to_be_bytes().to_vec();
    reply.extend(option.to_be_bytes());
    reply.extend(kind.to_be_bytes());
    reply.extend((data.len() as u32).to_be_bytes());
    reply.extend(data);
    stream.write_all(&reply)
}

fn number16(mut stream: &UnixStream) -> io::Result<u16> {
    let mut bytes = [0; 2];
    stream.read_exact(&mut bytes)?;
    Ok(u16::from_be_bytes(bytes))
}

fn number32(mut stream: &UnixStream) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn number64(mut stream: &UnixStream) -> io::Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::disk::BLOCK;
    use super::*;

    fn ask(mut stream: &UnixStream, flags: u16, kind: u16, length: u32, data: &[u8]) {
        let mut request = REQUEST.to_be_bytes().to_vec();
        request.extend(flags.to_be_bytes());
        request.extend(kind.to_be_bytes());
        request.extend([7; 8]);
        request.extend(BLOCK.to_be_bytes());
        request.extend(length.to_be_bytes());
        request.extend(data);
        stream.write_all(&request).unwrap();
    }

    fn error(mut stream: &UnixStream) -> u32 {
        assert_eq!(number32(stream).unwrap(), REPLY);
        let error = number32(stream).unwrap();
        let mut handle = [0; 8];
        stream.read_exact(&mut handle).unwrap();
        assert_eq!(handle, [7; 8]);
        error
    }

    /// Writes one byte as a client, with these flags, reads it, goes away without a word, and gives
    /// what is on the disk after a power cut.
    fn check(flags: u16, flush: bool) -> u8 {
        let folder = tempfile::tempdir().unwrap();
        let (image, socket) = (folder.path().join("disk"), folder.path().join("socket"));
        std::fs::write(&image, vec![0; 4 * BLOCK as usize]).unwrap();
        let served = Served::start(Disk::open(&image).unwrap(), &socket).unwrap();
        let mut stream = &UnixStream::connect(&socket).unwrap();
        let mut hello = [0; 18];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(&hello[..8], MAGIC);
        stream.write_all(&3_u32.to_be_bytes()).unwrap();
        for option in [8, OPTION_GO] {
            stream.write_all(OPTION_MAGIC).unwrap();
            stream.write_all(&u32::to_be_bytes(option)).unwrap();
            stream.write_all(&0_u32.to_be_bytes()).unwrap();
        }
        // A refusal of the first, and of the second the size with an end: 20 bytes and 12 more.
        let mut answers = [0; 20 + 32 + 20];
        stream.read_exact(&mut answers).unwrap();
        assert_eq!(answers[42..50], (4 * BLOCK).to_be_bytes());
        ask(stream, flags, 1, 1, &[5]);
        assert_eq!(error(stream), 0);
        ask(stream, 0, 0, 1, &[]);
        assert_eq!(error(stream), 0);
        let mut read = [0];
        stream.read_exact(&mut read).unwrap();
        assert_eq!(read, [5]);
        ask(stream, 0, 0, 4 * BLOCK as u32, &[]);
        assert_eq!(error(stream), EINVAL);
        if flush {
            ask(stream, 0, 3, 0, &[]);
            assert_eq!(error(stream), 0);
        }
        stream.shutdown(std::net::Shutdown::Both).unwrap();
        served.cut(Survival::None).unwrap();
        std::fs::read(&image).unwrap()[BLOCK as usize]
    }

    #[test]
    fn a_write_is_lost_unless_it_was_flushed_or_asked_to_be_durable() {
        assert_eq!(check(0, false), 0);
        assert_eq!(check(0, true), 5);
        assert_eq!(check(FLAG_FUA, false), 5);
    }

    #[test]
    fn a_disk_that_nobody_used_can_lose_its_power() {
        let folder = tempfile::tempdir().unwrap();
        let (image, socket) = (folder.path().join("disk"), folder.path().join("socket"));
        std::fs::write(&image, vec![0; BLOCK as usize]).unwrap();
        let served = Served::start(Disk::open(&image).unwrap(), &socket).unwrap();
        assert_eq!(served.cut(Survival::None).unwrap(), Counts::default());
    }
}
