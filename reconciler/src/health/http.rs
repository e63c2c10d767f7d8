//! A page is as it should be: its status, and what its body must have in it.

use std::time::Duration;

use nixus_switcher::protocol::CheckOutcome;
use nixus_switcher::waits::{self, Kind};

use crate::health::protocol::Found;
use crate::health::sshd::printable;
use crate::host::http::{self, Authorities, Via};
use crate::host::process::in_words;

/// So much of a body is read, in bytes.
const LIMIT: usize = 1 << 20;

/// Asks for the page, without following it elsewhere.
pub async fn page(url: &str, status: u16, body: Option<&str>, limit: Duration) -> Found {
    let _wait = waits::begin(Kind::Network, || url.to_owned());
    match get(url, status, body, limit).await {
        Ok(reason) => Found::new(CheckOutcome::Pass, reason),
        Err(reason) => Found::new(CheckOutcome::Fail, reason),
    }
}

async fn get(
    url: &str,
    status: u16,
    body: Option<&str>,
    limit: Duration,
) -> Result<String, String> {
    let failed = |error: &dyn std::error::Error| format!("{url}: {}", in_words(error));
    // The store is the host's own, and is read each time: a generation on trial may change it.
    let authorities = match url.starts_with("http://") {
        true => None,
        false => Some(&Authorities::System),
    };
    // A check is of what it names, and not of a proxy's opinion of it.
    let client = http::client(authorities, Via::Nothing, limit).map_err(|error| failed(&error))?;
    let answer = client.get(url).send().await;
    let answer = answer.map_err(|error| failed(&http::RequestError::from(error)))?;
    let found = answer.status().as_u16();
    if found != status {
        return Err(format!("{url} answers with {found}, and not {status}"));
    }
    if let Some(wanted) = body {
        let bytes = http::body(answer, LIMIT)
            .await
            .map_err(|error| failed(&error))?;
        let has = bytes
            .windows(wanted.len().max(1))
            .any(|part| part == wanted.as_bytes());
        if !has && !wanted.is_empty() {
            return Err(format!(
                "{url} does not have {wanted:?} in it, but begins with {:?}",
                printable(bytes.get(..200).unwrap_or(&bytes))
            ));
        }
    }
    Ok(format!("{url} answers with {found}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::host::testing::run;

    /// Serves one answer, as it stands.
    fn serve(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&answer);
        });
        format!("http://{address}/")
    }

    #[test]
    fn status_and_body_are_as_expected_or_told() {
        let check = |answer: &str, status, body: Option<&str>, words: &str, good: bool| {
            let url = serve(answer.as_bytes().to_vec());
            let said = run(get(&url, status, body, Duration::from_secs(5)));
            assert_eq!(said.is_ok(), good, "{said:?}");
            let said = said.unwrap_or_else(|reason| reason);
            assert!(said.contains(words), "{said}");
        };
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";
        check(ok, 200, None, "answers with 200", true);
        check(ok, 200, Some("ead"), "answers with 200", true);
        check(ok, 200, Some("steady"), "begins with \"ready\"", false);
        check(ok, 204, None, "answers with 200, and not 204", false);
        let moved =
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        check(moved, 302, None, "answers with 302", true);
        check("garbage\r\n\r\n", 200, None, "http://127.0.0.1", false);
    }

    #[test]
    fn a_page_without_end_is_read_in_part() {
        let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        endless.resize(4 << 20, b'x');
        let said = run(get(
            &serve(endless),
            200,
            Some("y"),
            Duration::from_secs(20),
        ));
        assert!(said.unwrap_err().contains("does not have"));
    }

    #[test]
    fn a_server_that_is_silent_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let said = run(get(&url, 200, None, Duration::from_millis(200)));
        assert!(said.is_err());
    }
}
