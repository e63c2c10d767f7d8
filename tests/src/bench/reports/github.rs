//! GitHub's limits, in virtual time.
//!
//! Source: docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api: 5,000 requests an
//! hour for a user; no more than 100 concurrent requests; 900 points a minute for one endpoint, of
//! which a POST takes 5; in general no more than 80 content-generating requests a minute and 500 an
//! hour. Whether statuses count as content is not said; here they do.

use std::collections::{HashMap, VecDeque};

use nixus::decide::status::Status;
use nixus::report::forge::answer::Answer;

/// The time at which the first host may see the commit, in seconds since 1970.
pub const BEGIN: i64 = 1_800_000_000;

const AN_HOUR: usize = 5000;
const CONTENT_A_MINUTE: usize = 80;
const CONTENT_AN_HOUR: usize = 500;
/// 900 points, 5 for each POST.
const POSTS_A_MINUTE: usize = 180;
const AT_ONCE: usize = 100;
const STATUSES: u32 = 1000;

/// What one token has done so far, and what stands on the commit.
#[derive(Debug, Default)]
pub struct GitHub {
    /// The last description of each context.
    pub on_page: HashMap<String, String>,
    counts: HashMap<String, u32>,
    /// When requests came in, refused ones too.
    requests: VecDeque<i64>,
    /// When statuses were made.
    contents: VecDeque<i64>,
    hour: (i64, usize),
}

impl GitHub {
    /// Answers a request; gives also the time before which the one who asked must not ask again.
    pub fn answer(&mut self, status: &Status, now: i64) -> (Answer, i64) {
        keep(&mut self.requests, now - 60);
        keep(&mut self.contents, now - 3600);
        self.requests.push_back(now);
        // The hour of the primary limit begins with its first request.
        if now >= self.hour.0 + 3600 {
            self.hour = (now, 0);
        }
        self.hour.1 += 1;
        let reset = self.hour.0 + 3600;
        if self.hour.1 > AN_HOUR {
            let headers = vec![
                ("x-ratelimit-remaining".to_owned(), "0".to_owned()),
                ("x-ratelimit-reset".to_owned(), (BEGIN + reset).to_string()),
            ];
            return (forbidden("API rate limit exceeded", headers), reset);
        }
        let within = |times: &VecDeque<i64>, seconds: i64| {
            times
                .iter()
                .rev()
                .take_while(|time| **time > now - seconds)
                .count()
        };
        let limits = [
            (within(&self.requests, 1) > AT_ONCE, 1),
            (within(&self.requests, 60) > POSTS_A_MINUTE, 60),
            (within(&self.contents, 60) >= CONTENT_A_MINUTE, 60),
            (self.contents.len() >= CONTENT_AN_HOUR, 60),
        ];
        let reached = limits.iter().filter(|(reached, _)| *reached);
        if let Some((_, wait)) = reached.max_by_key(|(_, wait)| *wait) {
            let headers = vec![("retry-after".to_owned(), wait.to_string())];
            let words = "You have exceeded a secondary rate limit";
            return (forbidden(words, headers), now + wait);
        }
        let count = self.counts.entry(status.context.clone()).or_default();
        *count += 1;
        if *count > STATUSES {
            let words = "This SHA and context has reached the maximum number of statuses";
            return (answer(422, words, Vec::new()), now);
        }
        self.contents.push_back(now);
        self.on_page
            .insert(status.context.clone(), status.description.clone());
        let left = AN_HOUR - self.hour.1;
        let headers = vec![
            ("x-ratelimit-remaining".to_owned(), left.to_string()),
            ("x-ratelimit-reset".to_owned(), (BEGIN + reset).to_string()),
        ];
        let named = if left == 0 { reset } else { now };
        let taken = Answer {
            body: format!(r#"{{"context":"{}"}}"#, status.context).into_bytes(),
            ..answer(201, "", headers)
        };
        (taken, named)
    }
}

fn keep(times: &mut VecDeque<i64>, from: i64) {
    while times.front().is_some_and(|time| *time <= from) {
        times.pop_front();
    }
}

fn forbidden(words: &str, headers: Vec<(String, String)>) -> Answer {
    answer(403, words, headers)
}

fn answer(status: u16, words: &str, headers: Vec<(String, String)>) -> Answer {
    Answer {
        status,
        headers,
        body: format!(r#"{{"message":"{words}"}}"#).into_bytes(),
    }
}
