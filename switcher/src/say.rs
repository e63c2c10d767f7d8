//! What is said to people. Where nobody hears it any more, such as an operator whose connection ended
//! with the network that was to go back, it is lost and the work goes on: `eprintln!` would panic.

use std::fmt::Display;
use std::io::{Write as _, stderr, stdout};

/// Says a line on standard error.
pub fn say(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}

/// Prints on standard output.
pub fn print(text: impl Display) {
    let _ = write!(stdout(), "{text}");
}
