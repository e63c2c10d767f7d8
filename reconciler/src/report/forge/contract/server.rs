//! A small HTTP server for one test: it answers by rules, or fails as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}

pub struct Answered {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// Answers requests.
pub trait Answers: Send + 'static {
    fn answer(&mut self, asked: &Asked) -> Answered;
}

/// How it fails instead.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It takes the request, and is silent.
    Hang,
    /// It ends the connection.
    Reset,
    /// It promises more than it sends.
    HalfAnAnswer,
    /// It does not speak HTTP.
    Garbage,
    /// It gives this answer to everything.
    Answer(u16, Vec<(String, String)>, String),
}

struct Inside<R> {
    rules: R,
    fault: Option<Fault>,
    heads: Vec<String>,
}

pub struct Server<R> {
    pub address: String,
    inside: Arc<Mutex<Inside<R>>>,
}

impl<R: Answers> Server<R> {
    pub fn start(rules: R) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inside = Arc::new(Mutex::new(Inside {
            rules,
            fault: None,
            heads: Vec::new(),
        }));
        let shared = Arc::clone(&inside);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, inside }
    }

    pub fn fault(&self, fault: Option<Fault>) {
        self.inside.lock().unwrap().fault = fault;
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut R) -> T) -> T {
        change(&mut self.inside.lock().unwrap().rules)
    }

    /// How many requests have come.
    pub fn count(&self) -> usize {
        self.inside.lock().unwrap().heads.len()
    }

    /// The first line and the headers of each.
    pub fn heads(&self) -> Vec<String> {
        self.inside.lock().unwrap().heads.clone()
    }
}

fn serve<R: Answers>(stream: TcpStream, inside: &Mutex<Inside<R>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some((asked, head)) = read(&mut reader) {
        let fault = {
            let mut inside = inside.lock().unwrap();
            inside.heads.push(head);
            inside.fault.clone()
        };
        let answered = match fault {
            None => inside.lock().unwrap().rules.answer(&asked),
            Some(Fault::Answer(status, headers, body)) => Answered {
                status,
                headers,
                body,
            },
            Some(Fault::Hang) => {
                std::thread::sleep(Duration::from_secs(20));
                return;
            }
            Some(Fault::Reset) => return,
            Some(Fault::HalfAnAnswer) => {
                let _ = stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{");
                return;
            }
            Some(Fault::Garbage) => {
                let _ = stream.write_all(b"SSH-2.0-OpenSSH_10.0\r\n");
                return;
            }
        };
        let mut text = format!("HTTP/1.1 {} x\r\n", answered.status);
        for (name, value) in &answered.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", answered.body.len()));
        text.push_str(&answered.body);
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<(Asked, String)> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut asked = Asked {
        method,
        path,
        headers,
        body: Vec::new(),
    };
    let length = asked.header("content-length").parse().unwrap_or(0);
    asked.body.resize(length, 0);
    reader.read_exact(&mut asked.body).ok()?;
    Some((asked, head))
}
