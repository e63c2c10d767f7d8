use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::*;
use crate::config::health::OwnSsh;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

fn host(addresses: &[SocketAddr]) -> Health {
    let key: PublicKey = KEY.parse().unwrap();
    Health {
        soak: Duration::ZERO,
        peers_lost_after: Duration::ZERO,
        ssh: OwnSsh {
            addresses: addresses.iter().map(|at| at.ip().to_string()).collect(),
            port: addresses[0].port(),
            host_key: "/nowhere".into(),
            host_keys: vec![key.clone()],
        },
        operators: vec![Operator {
            user: "root".into(),
            key,
            from: Vec::new(),
        }],
        peers: Vec::new(),
        checks: Vec::new(),
    }
}

/// The kernel accepts for it; a server that is starved or hangs looks the same.
async fn one_that_says_nothing() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

#[tokio::test]
async fn a_silent_sshd_is_inconclusive_on_trial_and_a_fault_before() {
    let (_open, at) = one_that_says_nothing().await;
    let health = host(&[at]);
    let candidate = Bar::Candidate(None);
    // Once by the bound of a session, and once by that of the check, which may be shorter.
    for limit in [Duration::from_secs(30), Duration::from_secs(1)] {
        let (on_trial, before) = tokio::join!(
            own(&health, candidate, limit),
            own(&health, Bar::AsConfigured, limit)
        );
        assert_eq!(on_trial.outcome, CheckOutcome::Unknown, "{on_trial:?}");
        assert_eq!(before.outcome, CheckOutcome::Fail, "{before:?}");
        let said = if limit.as_secs() == 1 {
            "timed out after 1 s"
        } else {
            "accepts connections and shows no host key within 5 s"
        };
        assert!(on_trial.reason.contains(said), "{on_trial:?}");
        assert!(before.reason.contains(said), "{before:?}");
    }
}

#[tokio::test]
async fn a_silent_address_does_not_hide_one_where_nobody_listens() {
    let (_open, silent) = one_that_says_nothing().await;
    let closed: SocketAddr = (Ipv4Addr::new(127, 0, 0, 2), silent.port()).into();
    let health = host(&[closed, silent]);
    let found = own(&health, Bar::Candidate(None), Duration::from_secs(1)).await;
    assert_eq!(found.outcome, CheckOutcome::Fail, "{found:?}");
    let said = "127.0.0.2 port";
    assert!(found.reason.starts_with(said), "{found:?}");
    assert!(
        found.reason.contains("does not accept connections"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_peer_that_looks_at_a_silent_sshd_cannot_say() {
    let (_open, at) = one_that_says_nothing().await;
    let address = at.ip().to_string();
    let place = Place {
        address: &address,
        port: at.port(),
        from_loopback: false,
    };
    let look = look(&place, &host(&[at]).ssh.host_keys, &[]).await;
    let found = together(&look.in_words(|_| true));
    assert_eq!(found.outcome, CheckOutcome::Unknown, "{found:?}");
}

#[tokio::test]
async fn one_that_ends_the_connection_or_speaks_something_else_is_judged_at_once() {
    let (open, at) = one_that_says_nothing().await;
    let answers = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        for greeting in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
            let (mut stream, _) = open.accept().await.unwrap();
            stream.write_all(greeting).await.unwrap();
        }
    });
    let address = at.ip().to_string();
    let place = Place {
        address: &address,
        port: at.port(),
        from_loopback: false,
    };
    let keys = host(&[at]).ssh.host_keys;
    let first = Session::begin(&place, &keys).await.unwrap_err();
    assert!(first.is_turned_away(), "{first:?}");
    let second = Session::begin(&place, &keys).await.unwrap_err();
    assert!(!second.is_silent(), "{second:?}");
    answers.await.unwrap();
}
