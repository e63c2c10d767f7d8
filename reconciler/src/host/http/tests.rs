use std::io::{Read, Write};
use std::net::TcpListener;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::host::testing::run;

const LIMIT: Duration = Duration::from_secs(20);

fn pem(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host/http/testing");
    folder.join(name)
}

/// Gives one answer over TLS, as it stands, and then the request that it had.
fn serve(answer: Vec<u8>) -> (String, std::thread::JoinHandle<Option<String>>) {
    let certificate = CertificateDer::from_pem_file(pem("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(pem("server.key")).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let settings = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(Arc::new(settings)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut asked = vec![0; 4096];
        // A client that does not believe the certificate asks nothing.
        let count = stream.read(&mut asked).ok()?;
        let _ = stream.write_all(&answer);
        stream.conn.send_close_notify();
        let _ = stream.flush();
        Some(String::from_utf8_lossy(&asked[..count]).into_owned())
    });
    (format!("https://127.0.0.1:{port}/page"), thread)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";

async fn get(url: &str, authorities: Option<&Authorities>) -> Result<Vec<u8>, RequestError> {
    let client = client(authorities, Via::Nothing, LIMIT).unwrap();
    body(client.get(url).send().await?, 1024).await
}

#[test]
fn a_server_is_believed_where_one_of_the_authorities_vouches_for_it() {
    let (own, other) = (pem("authority.pem"), pem("stranger.pem"));
    let check = |authorities: Option<&Authorities>, good: bool| {
        let (url, server) = serve(OK.into());
        let said = run(get(&url, authorities));
        let asked = server.join().unwrap();
        match said {
            Ok(bytes) => assert!(good && bytes == b"ready", "{authorities:?}"),
            Err(error) => {
                assert!(!good, "{authorities:?}: {error}");
                let words = error.to_string();
                assert!(words.contains("certificate"), "{words}");
                assert!(!error.is_final(), "git is not asked");
                assert_eq!(asked, None, "it was asked nevertheless");
            }
        }
    };
    check(Some(&Authorities::Pinned(own.clone())), true);
    check(Some(&Authorities::Extra(own.clone())), true);
    check(Some(&Authorities::Pinned(other.clone())), false);
    check(Some(&Authorities::Extra(other.clone())), false);
    check(Some(&Authorities::System), false);
    check(None, false);
}

#[test]
fn a_file_of_authorities_may_be_indented_and_have_words_between_them() {
    let text =
        ["stranger.pem", "authority.pem"].map(|name| std::fs::read_to_string(pem(name)).unwrap());
    let text = text.join("# ours\n").replace('\n', "\r\n    ");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("indented.pem");
    std::fs::write(&file, format!("    {text}")).unwrap();
    let (url, _server) = serve(OK.into());
    assert_eq!(
        run(get(&url, Some(&Authorities::Pinned(file.clone())))).unwrap(),
        b"ready"
    );
}

#[test]
fn a_file_without_a_certificate_is_an_error_that_names_it() {
    for name in ["server.key", "nothing.pem"] {
        let path = pem(name);
        let error = client(
            Some(&Authorities::Pinned(path.clone())),
            Via::Nothing,
            LIMIT,
        )
        .unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn no_redirect_is_followed_wherever_it_leads() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let port = target.local_addr().unwrap().port();
    for place in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        "/other".to_owned(),
    ] {
        for status in [301, 302, 303, 307, 308] {
            let answer = format!(
                "HTTP/1.1 {status} Moved\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
            );
            let (url, server) = serve(answer.into());
            let asked = async {
                let own = pem("authority.pem");
                let client =
                    client(Some(&Authorities::Pinned(own.clone())), Via::Nothing, LIMIT).unwrap();
                client.get(&url).bearer_auth("s3cret").send().await
            };
            assert_eq!(run(asked).unwrap().status().as_u16(), status);
            server.join().unwrap();
        }
    }
    let nobody = target.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_body_is_read_up_to_the_limit_and_one_that_ends_early_is_none() {
    let own = pem("authority.pem");
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(1 << 20, b'x');
    let (url, _server) = serve(endless);
    let bytes = run(get(&url, Some(&Authorities::Pinned(own.clone())))).unwrap();
    assert_eq!(bytes, [b'x'; 1024]);
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf";
    let (url, _server) = serve(cut.into());
    run(get(&url, Some(&Authorities::Pinned(own.clone())))).unwrap_err();
}

#[test]
fn errors_say_what_went_wrong_and_neither_url_nor_password() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ask = |url: String, limit| {
        run(async {
            let client = client(None, Via::Nothing, limit).unwrap();
            RequestError::from(client.get(url).send().await.unwrap_err())
        })
    };
    let silent = ask(
        format!("http://me:s3cret@{address}/x?token=t0ken"),
        Duration::from_millis(100),
    );
    assert!(silent.is_final());
    assert_eq!(silent.to_string(), "no answer in time");
    // Nobody else gets a port that is bound, and whoever does not listen refuses.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = bound.local_addr().unwrap();
    let gone = ask(format!("http://me:s3cret@{address}/x?token=t0ken"), LIMIT);
    assert!(gone.is_final());
    assert!(gone.to_string().contains("refused"), "{gone}");
    for error in [silent, gone] {
        let all = format!("{error} {error:?}");
        assert!(!all.contains("s3cret") && !all.contains("t0ken"), "{all}");
    }
}

#[test]
fn a_proxy_is_a_url_over_http_with_a_host() {
    let check = |text: &str, expected: bool| assert_eq!(is_proxy(text), expected, "{text}");
    check("http://proxy.example:3128", true);
    check("http://proxy.example", true);
    check("https://proxy.example:3128/", true);
    check("http://[fd77::2]:3128", true);
    check("proxy.example:3128", false);
    check("nonsense://", false);
    check("http://", false);
    check("http://proxy.example:99999", false);
    // Not built in: it would be found out only when a request fails.
    check("socks5://proxy.example:1080", false);
    check("file:///etc/passwd", false);
}

#[test]
fn a_joined_file_has_the_systems_authorities_and_the_extra_ones() {
    let folder = tempfile::tempdir().unwrap();
    let extra = folder.path().join("extra.pem");
    std::fs::write(&extra, "-----BEGIN CERTIFICATE-----\nextra\n").unwrap();
    let joined = joined(&extra, folder.path()).unwrap();
    let text = std::fs::read_to_string(&joined).unwrap();
    assert!(text.ends_with("-----BEGIN CERTIFICATE-----\nextra\n"));
    let system = rustls_native_certs::load_native_certs().certs;
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .filter_map(Result::ok)
        .collect();
    assert!(!system.is_empty() && found.starts_with(&system));
    // The same again is the same file, and another content another.
    assert_eq!(super::joined(&extra, folder.path()).unwrap(), joined);
    std::fs::write(&extra, "other").unwrap();
    assert_ne!(super::joined(&extra, folder.path()).unwrap(), joined);
    assert!(super::joined(&folder.path().join("none"), folder.path()).is_err());
}
