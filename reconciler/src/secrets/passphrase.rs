//! Asks a person for the passphrase of a private key, on the terminal and without showing it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};

use age::Callbacks;
use age::secrecy::SecretString;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The longest passphrase, in bytes.
const LONGEST: u64 = 1024;

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
        ask(description).ok()
    }
}

fn ask(description: &str) -> std::io::Result<SecretString> {
    use std::io::Read as _;
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    write!(terminal, "{description}: ")?;
    let shown = tcgetattr(&terminal)?;
    let mut hidden = shown.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    hidden.local_flags.insert(LocalFlags::ECHONL);
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &hidden)?;
    let mut line = Zeroizing::new(String::with_capacity(LONGEST as usize));
    let read = BufReader::new(&terminal).take(LONGEST).read_line(&mut line);
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &shown)?;
    read?;
    Ok(SecretString::from(line.trim_end_matches(['\r', '\n'])))
}
