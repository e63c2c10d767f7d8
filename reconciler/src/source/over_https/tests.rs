use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::CommitId;
use super::super::list::list_one;
use super::*;
use crate::host::testing::run;

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/host/http/testing")
        .join(name)
}

/// What the server does with a request.
#[derive(Clone)]
enum Rule {
    /// git's own program answers.
    Git,
    /// The same, of a time before version 2.
    OldGit,
    /// This is the answer, as it stands.
    Raw(Vec<u8>),
}

/// A server with TLS that has git's own program behind it (git-http-backend(1)), and what it was asked.
struct Server {
    folder: tempfile::TempDir,
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(rule: Rule) -> Self {
        let folder = tempfile::tempdir().unwrap();
        git2::Repository::init_bare(folder.path().join("deploy.git")).unwrap();
        let certificate = CertificateDer::from_pem_file(pem("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(pem("server.key")).unwrap();
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let settings = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let settings = Arc::new(settings);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (root, heads) = (folder.path().to_owned(), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&settings)).unwrap();
                let stream = StreamOwned::new(connection, stream);
                // Whoever does not believe the certificate goes away.
                let _ = answer(stream, &rule, &root, &heads);
            }
        });
        let url = format!("https://127.0.0.1:{port}/deploy.git");
        Self { folder, url, asked }
    }

    fn remote(&self) -> Remote {
        Remote {
            url: self.url.clone(),
            ssh_key: None,
            known_hosts: None,
            token_file: None,
            authorities: Authorities::Pinned(pem("authority.pem")),
            timeout: Duration::from_secs(30),
        }
    }

    fn commit(&self, names: &[&str]) -> CommitId {
        let server = git2::Repository::open_bare(self.folder.path().join("deploy.git")).unwrap();
        let author = git2::Signature::now("operator", "operator@example").unwrap();
        let tree = server.treebuilder(None).unwrap().write().unwrap();
        let tree = server.find_tree(tree).unwrap();
        let id = server
            .commit(None, &author, &author, "one", &tree, &[])
            .unwrap();
        for name in names {
            server.reference(name, id, true, "test").unwrap();
        }
        CommitId::try_from(id.to_string()).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

type Stream = StreamOwned<ServerConnection, std::net::TcpStream>;

fn answer(
    stream: Stream,
    rule: &Rule,
    root: &Path,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let begun = head.len();
        if stream.read_line(&mut head)? <= 2 {
            head.truncate(begun);
            break;
        }
    }
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
            .to_owned()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body)?;
    heads.lock().unwrap().push(head.clone());
    let said = match rule {
        Rule::Raw(said) => said.clone(),
        Rule::Git | Rule::OldGit => {
            let mut words = head.split_whitespace();
            let (method, place) = (words.next().unwrap(), words.next().unwrap());
            let (path, query) = place.split_once('?').unwrap_or((place, ""));
            let protocol = match rule {
                Rule::OldGit => String::new(),
                _ => header("git-protocol"),
            };
            let mut git = Command::new("git")
                .arg("http-backend")
                .env("GIT_PROJECT_ROOT", root)
                .env("GIT_HTTP_EXPORT_ALL", "1")
                .env("REQUEST_METHOD", method)
                .env("PATH_INFO", path)
                .env("QUERY_STRING", query)
                .env("CONTENT_TYPE", header("content-type"))
                .env("CONTENT_LENGTH", body.len().to_string())
                .env("HTTP_GIT_PROTOCOL", protocol)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let mut input = git.stdin.take().unwrap();
            let _ = input.write_all(&body);
            drop(input);
            let output = git.wait_with_output()?.stdout;
            [
                b"HTTP/1.1 200 OK\r\nConnection: close\r\n".as_slice(),
                &output,
            ]
            .concat()
        }
    };
    let mut stream = stream.into_inner();
    stream.write_all(&said)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// Whatever this machine's git is configured to do.
fn ask_now(remote: &Remote) -> Result<Option<Head>, AskError> {
    let url = service(&remote.url).unwrap();
    run(request(remote, url, "refs/heads/main"))
}

#[test]
fn one_request_gives_that_ref_and_no_other() {
    let server = Server::start(Rule::Git);
    let check = |expected: Head| {
        assert_eq!(ask_now(&server.remote()).unwrap(), Some(expected));
        let asked = server.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(asked[0].starts_with("POST /deploy.git/git-upload-pack HTTP/1.1"));
        assert!(!asked[0].to_ascii_lowercase().contains("authorization"));
    };
    check(Head::Missing);
    let id = server.commit(&["refs/heads/main-old", "refs/heads/topic", "refs/tags/one"]);
    check(Head::Missing);
    server.commit(&["refs/heads/main"]);
    check(Head::At(id));
}

#[test]
fn the_token_of_the_file_goes_with_it_and_is_named_in_no_error() {
    let server = Server::start(Rule::Git);
    let id = server.commit(&["refs/heads/main"]);
    let file = server.folder.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let remote = Remote {
        token_file: Some(file.clone()),
        ..server.remote()
    };
    assert_eq!(ask_now(&remote).unwrap(), Some(Head::At(id)));
    let asked = server.asked().concat();
    // x-access-token:s3cret
    assert!(
        asked.contains("Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0\r\n"),
        "{asked}"
    );
    for wrong in ["", "two\nlines", "s3c\u{e9}ret\u{7f}"] {
        std::fs::write(&file, wrong).unwrap();
        let error = format!("{:?}", ask_now(&remote).unwrap_err());
        assert!(error.contains("Token") && !error.contains("s3c"), "{error}");
    }
}

#[test]
fn a_server_of_version_0_is_left_to_git_which_comes_to_the_same() {
    let server = Server::start(Rule::OldGit);
    let id = server.commit(&["refs/heads/main"]);
    assert_eq!(ask_now(&server.remote()).unwrap(), None);
    let listed = run(list_one(&server.remote(), "main")).unwrap();
    assert_eq!(listed, Head::At(id));
}

#[test]
fn what_is_not_that_answer_is_left_to_git() {
    let raw = |status: &str, kind: &str, body: &str| {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n");
        Rule::Raw(format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes())
    };
    let line = format!("003d{} refs/heads/main\n0000", "a".repeat(40));
    for rule in [
        raw("401 Unauthorized", "text/plain", ""),
        raw("403 Forbidden", "text/plain", ""),
        raw("404 Not Found", "text/plain", ""),
        raw("500 Internal Server Error", ANSWER, &line),
        raw("301 Moved\r\nLocation: https://127.0.0.1:1/", ANSWER, &line),
        raw("200 OK", "text/html", &line),
        raw("200 OK", ANSWER, "<html>"),
        raw("200 OK", ANSWER, "003d"),
        raw("200 OK", ANSWER, ""),
        Rule::Raw(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {ANSWER}\r\nContent-Length: 900\r\n\r\n{line}"
            )
            .into_bytes(),
        ),
        Rule::Raw(b"no HTTP\r\n\r\n".to_vec()),
    ] {
        let server = Server::start(rule);
        let answered = ask_now(&server.remote());
        assert_eq!(answered.unwrap(), None);
        assert_eq!(server.asked().len(), 1);
    }
    // A certificate that nobody vouches for is not asked, and git says what is wrong.
    let server = Server::start(Rule::Git);
    let remote = Remote {
        authorities: Authorities::Pinned(pem("stranger.pem")),
        ..server.remote()
    };
    assert_eq!(ask_now(&remote).unwrap(), None);
    assert!(server.asked().is_empty());
}

#[test]
fn whoever_is_not_there_or_wants_to_be_left_alone_is_not_asked_again() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let said = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::start(Rule::Raw(said.into_bytes()));
        let error = ask_now(&server.remote()).unwrap_err();
        let words = crate::host::process::in_words(&error);
        assert!(words.contains(&status[..3]), "{words}");
        assert_eq!(server.asked().len(), 1);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/deploy.git", listener.local_addr().unwrap());
    let server = Server::start(Rule::Git);
    let remote = Remote {
        url,
        timeout: Duration::from_millis(200),
        ..server.remote()
    };
    // Nobody accepts.
    let silent = ask_now(&remote).unwrap_err();
    assert!(matches!(silent, AskError::Request(_)), "{silent:?}");
    // Nobody else gets a port that is bound, and whoever does not listen refuses.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let remote = Remote {
        url: format!("https://{}/deploy.git", bound.local_addr().unwrap()),
        timeout: Duration::from_secs(30),
        ..remote
    };
    let words = ask_now(&remote).unwrap_err().to_string();
    assert!(words.contains("refused"), "{words}");
}

#[test]
fn only_urls_that_all_programs_understand_alike_are_asked() {
    let check = |url: &str, expected: Option<&str>| {
        let found = service(url).map(String::from);
        assert_eq!(found.as_deref(), expected, "{url}");
    };
    check(
        "https://git.example/a/deploy.git",
        Some("https://git.example/a/deploy.git/git-upload-pack"),
    );
    check(
        "https://git.example:8443/~a/x_y/",
        Some("https://git.example:8443/~a/x_y/git-upload-pack"),
    );
    check(
        "https://[fd77::2]/x.git",
        Some("https://[fd77::2]/x.git/git-upload-pack"),
    );
    for other in [
        "http://git.example/x",
        "ssh://git@git.example/x",
        "https://git.example",
        "https:///x",
        "https://me@git.example/x",
        "https://me:s3cret@git.example/x",
        "https://evil.test?@git.example/x",
        "https://evil.test#@git.example/x",
        "https://git.example\\@evil.test/x",
        "https://git.example/x?service=y",
        "https://git.example/x#y",
        "https://git.example/a/../x",
        "https://git.example/./x",
        "https://git.example/x%2e",
        "https://git.example/x y",
        "https://g\u{ef}t.example/x",
        "https://git.example:x/y",
        "https://[fd77::2/x",
    ] {
        check(other, None);
    }
}

#[test]
fn where_git_is_told_how_to_speak_http_it_is_asked_itself() {
    let check = |text: &str, expected: bool| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let found = Config::open(file.path()).map_or(true, |config| says_how(&config));
        assert_eq!(found, expected, "{text:?}");
    };
    check("", false);
    check("[user]\n\tname = me\n[safe]\n\tdirectory = *\n", false);
    check("[http]\n\tproxy = http://proxy:3128\n", true);
    check(
        "[HTTP \"https://git.example\"]\n\textraHeader = X: y\n",
        true,
    );
    check(
        "[url \"https://mirror/\"]\n\tinsteadOf = https://git/\n",
        true,
    );
    check("[http\n", true);
}
