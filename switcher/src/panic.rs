//! A panic ends the program, whatever the build profile says of unwinding.
//!
//! Half of a program that goes on after a panic, such as a task whose panic the async runtime caught,
//! would wait for what never comes. Ended at once, the watchdog and the next pass find what every
//! crash leaves.

use std::panic;
use std::process;

/// Makes each panic of this process, on whatever thread, abort it once the message is printed.
pub fn ends_the_program() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        print(info);
        process::abort();
    }));
    #[cfg(feature = "fault-points")]
    panic_if_asked();
}

/// Names a program that panics on a thread of its own as soon as it runs: for the test of this.
#[cfg(feature = "fault-points")]
pub const TRIGGER: &str = "NIXUS_PANIC";

#[cfg(feature = "fault-points")]
#[expect(clippy::panic, reason = "it is what the test asks for")]
fn panic_if_asked() {
    if std::env::var_os(TRIGGER).is_some() {
        let thread = std::thread::spawn(|| panic!("a panic was asked for"));
        // Only a program that goes on gets here.
        let _ = thread.join();
    }
}
