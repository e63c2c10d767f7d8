//! A pass right after what an operator has changed.

use crate::host::process::in_words;
use crate::host::systemd::{self, PASS_UNIT};
use crate::println;

/// Without systemd, or without the unit, the timer's next pass does the same a little later.
pub(super) async fn start_pass() {
    match systemd::start(PASS_UNIT).await {
        Ok(()) => println!("A pass was started: `journalctl -fu {PASS_UNIT}` shows it."),
        Err(error) => {
            tracing::info!("no pass was started: {}", in_words(&error));
            println!("The next pass goes on.");
        }
    }
}
