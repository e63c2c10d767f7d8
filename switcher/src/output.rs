//! What is said to people. Where nobody hears it any more, such as an operator whose connection ended
//! with the network that was to go back, it is lost and the work goes on: `eprintln!` would panic.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _, stderr, stdout};

use crate::printable::printable_lines;

/// Says a line on standard error.
pub fn say(line: impl Display) {
    let _ = writeln!(stderr(), "{}", printable_lines(&line.to_string()));
}

/// Prints on standard output. A reader who has read enough is not an error.
///
/// # Errors
/// When it is not taken, such as by a full disk.
pub fn print(text: impl Display) -> io::Result<()> {
    let mut out = stdout();
    // Reasons are in it that others gave.
    let text = printable_lines(&text.to_string());
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
