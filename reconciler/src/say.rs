//! What is said to people: `println!` and the like that take colours away where they are not wanted,
//! and that lose what nobody reads any more, such as the end of `nixus log | head`. Those of the
//! standard library panic.

use std::fmt::Arguments;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

static UNHEARD: AtomicBool = AtomicBool::new(false);

/// Prints on standard output.
pub fn out(text: Arguments<'_>) {
    let mut out = anstream::stdout();
    if out.write_fmt(text).and_then(|()| out.flush()).is_err() {
        UNHEARD.store(true, Ordering::Relaxed);
    }
}

/// Prints on standard error.
pub fn err(text: Arguments<'_>) {
    let _ = anstream::stderr().write_fmt(text);
}

/// Whether what is printed on standard output is still read. Who only watches stops where it is not.
pub fn is_heard() -> bool {
    !UNHEARD.load(Ordering::Relaxed)
}

/// Prints on standard output.
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => { $crate::say::out(format_args!($($text)*)) };
}

/// Prints a line on standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::say::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::say::out(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line on standard error.
#[macro_export]
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::say::err(format_args!("{}\n", format_args!($($text)*))) };
}
