//! What is said to people: `println!` and the like that take colours away where they are not wanted,
//! and that lose what nobody reads any more, such as the end of `nixus log | head`. Those of the
//! standard library panic.

use std::fmt::Arguments;
use std::io::{Error, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

use nixus_switcher::printable::printable_lines;

/// Why standard output took no more.
static FAILURE: OnceLock<Error> = OnceLock::new();

/// Prints on standard output.
pub fn out(text: Arguments<'_>) {
    let mut out = anstream::stdout();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        // The first shows why.
        let _ = FAILURE.set(error);
    }
}

/// Prints on standard error.
pub fn err(text: Arguments<'_>) {
    // Nothing that is said there has colours: errors have words of git servers, forges and programs in them.
    let text = printable_lines(&text.to_string());
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// Whether what is printed on standard output is still read. Who only watches stops where it is not.
pub fn is_heard() -> bool {
    FAILURE.get().is_none()
}

/// How `nixus` ends that would end with this code: what was lost on a full disk is not a success,
/// what its reader did not want is.
pub fn ended(code: ExitCode) -> ExitCode {
    match FAILURE.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            crate::eprintln!("nixus: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => code,
    }
}

/// Prints on standard output.
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => { $crate::host::output::out(format_args!($($text)*)) };
}

/// Prints a line on standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::host::output::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::host::output::out(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line on standard error.
#[macro_export]
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::host::output::err(format_args!("{}\n", format_args!($($text)*))) };
}
