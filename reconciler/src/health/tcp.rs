//! A port is open.

use std::time::Duration;

use nixus_switcher::protocol::CheckOutcome;
use nixus_switcher::waits::{self, Kind};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::health::protocol::Found;

/// Connects, and nothing more.
pub async fn open(host: &str, port: u16, limit: Duration) -> Found {
    let _wait = waits::begin(Kind::Network, || format!("{host} port {port}"));
    match timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Found::new(CheckOutcome::Pass, format!("port {port} open")),
        Ok(Err(error)) => {
            let reason = format!("{host} port {port} is not open: {error}");
            Found::new(CheckOutcome::Fail, reason)
        }
        Err(_) => {
            let seconds = limit.as_secs();
            let reason = format!("{host} port {port} does not answer within {seconds} s");
            Found::new(CheckOutcome::Fail, reason)
        }
    }
}
