//! What a forge's answer means for a status: pure.

use jiff::{SignedDuration, Timestamp};
use nixus_switcher::printable;

use super::{Forge, Meaning};
use crate::address::without_credentials;
use crate::decide::outbox::judgement::{Judged, Judgement};
use crate::decide::status::Status;
use crate::health::sshd::printable;

/// A time further away than this is not waited for: a clock is wrong, or somebody wants silence.
const FURTHEST: SignedDuration = SignedDuration::from_hours(24);
/// So much of what a forge says is shown to people, in bytes.
const TOLD: usize = 300;

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Its number.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, or the beginning of it.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether these words are in the body, in whatever letters.
    pub fn body_says(&self, words: &str) -> bool {
        let words = words.to_ascii_lowercase();
        let body = self.body.to_ascii_lowercase();
        body.windows(words.len().max(1))
            .any(|part| part == words.as_bytes())
    }

    /// Whether a field of the JSON in the body has this text.
    pub fn names(&self, field: &str, text: &str) -> bool {
        let said: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let field = said.as_ref().and_then(|said| said.pointer(field));
        field.and_then(serde_json::Value::as_str) == Some(text)
    }

    /// The forge's own words, for people.
    pub fn words(&self) -> String {
        let said: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let field = |path: &str| {
            let value = said.as_ref()?.pointer(path)?;
            Some(
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            )
        };
        // GitHub, GitLab and Gitea say `message`, GitLab also `error`, Bitbucket `error.message`.
        let words = field("/message")
            .or_else(|| field("/error/message"))
            .or_else(|| field("/error"))
            .unwrap_or_else(|| printable(self.body.get(..TOLD).unwrap_or(&self.body)));
        let words: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let words: String = printable::printable(&words).chars().take(TOLD).collect();
        format!("{} {words}", self.status).trim_end().to_owned()
    }
}

/// Judges an answer, to a status that was posted or to a question.
pub fn judge(
    forge: &dyn Forge,
    answer: &Answer,
    posted: Option<&Status>,
    now: Timestamp,
) -> Judged {
    let named = named_time(answer, now);
    let why = || answer.words();
    let judgement = match (answer.status, forge.meaning(answer)) {
        (200, _) if posted.is_none() => Judgement::Taken,
        (200..=299, _) if posted.is_some_and(|status| forge.is_taken(answer, status)) => {
            Judgement::Taken
        }
        // Something in front of the forge, such as a single sign-on.
        (200..=299, _) => Judgement::Trouble {
            why: format!("this is not an answer of the forge's interface: {}", why()),
            answered: true,
        },
        (_, Meaning::AlreadySo) => Judgement::AlreadySo,
        // RFC 6585, section 4.
        (429, _) | (_, Meaning::Limited) => Judgement::Limited {
            until: named,
            why: why(),
        },
        // GitHub's limits answer with 403 too, and then a time is named.
        (403 | 503, _) if named.is_some() => Judgement::Limited {
            until: named,
            why: why(),
        },
        (_, Meaning::Never) => Judgement::Refused {
            why: why(),
            for_good: true,
        },
        (408 | 425 | 500.., _) => Judgement::Trouble {
            why: why(),
            answered: true,
        },
        (300..=399, _) => Judgement::Refused {
            why: format!(
                "{}: the repository has moved to {}: name it in [statuses]",
                answer.status,
                without_credentials(answer.header("location").unwrap_or("another place"))
            ),
            for_good: false,
        },
        _ => Judgement::Refused {
            why: why(),
            for_good: false,
        },
    };
    // The last request that was allowed.
    let pause = matches!(judgement, Judgement::Taken | Judgement::AlreadySo)
        .then(|| reset(answer, now))
        .flatten();
    Judged { judgement, pause }
}

/// The time before which a forge wants no more requests.
fn named_time(answer: &Answer, now: Timestamp) -> Option<Timestamp> {
    let after = answer
        .header("retry-after")
        .and_then(|value| retry_after(value, now));
    let time = after.or_else(|| reset(answer, now))?;
    let furthest = now.checked_add(FURTHEST).unwrap_or(now);
    Some(time.clamp(now, furthest))
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn retry_after(value: &str, now: Timestamp) -> Option<Timestamp> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return now
            .checked_add(SignedDuration::from_secs(i64::from(seconds)))
            .ok();
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    Some(date.timestamp())
}

/// When the limit is lifted, where it is reached: `x-ratelimit-*` (GitHub, in seconds since 1970),
/// `ratelimit-*` (GitLab, the same).
fn reset(answer: &Answer, now: Timestamp) -> Option<Timestamp> {
    for prefix in ["x-ratelimit", "ratelimit"] {
        let number = |name: &str| {
            let value = answer.header(&format!("{prefix}-{name}"))?;
            value.trim().parse::<i64>().ok()
        };
        if number("remaining") == Some(0)
            && let Some(reset) = number("reset")
            && let Ok(time) = Timestamp::from_second(reset)
            && time > now
        {
            return Some(time);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use crate::decide::status::Word;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Answer {
            status,
            headers: headers.iter().map(own).collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let refused = |why: &str, for_good| Judgement::Refused {
            why: why.to_owned(),
            for_good,
        };
        let limited = |until: Option<i64>, why: &str| Judgement::Limited {
            until: until.map(at),
            why: why.to_owned(),
        };
        let trouble = |why: &str| Judgement::Trouble {
            why: why.to_owned(),
            answered: true,
        };
        let (hub, lab, tea, bucket) = (Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Bitbucket);
        let same = r#"{"message":"Cannot transition status via :run from :running (Reason(s): Status cannot transition via \"run\")"}"#;
        let back = r#"{"message":"Cannot transition status via :enqueue from :running"}"#;
        let full = r#"{"message":"Validation Failed","errors":[{"code":"custom","message":"This SHA and context has reached the maximum number of statuses."}]}"#;
        let secondary = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        let own = r#"{"context":"nixus/web1","name":"nixus/web1","key":"nixus/web1"}"#.to_owned();
        let table = [
            (hub, answer(201, &[], &own), Judgement::Taken),
            (tea, answer(201, &[], &own), Judgement::Taken),
            (lab, answer(201, &[], &own), Judgement::Taken),
            (bucket, answer(201, &[], &own), Judgement::Taken),
            (bucket, answer(200, &[], &own), Judgement::Taken),
            (lab, answer(400, &[], same), Judgement::AlreadySo),
            (
                lab,
                answer(400, &[], back),
                refused(
                    "400 Cannot transition status via :enqueue from :running",
                    true,
                ),
            ),
            (
                hub,
                answer(422, &[], full),
                refused("422 Validation Failed", true),
            ),
            (
                hub,
                answer(422, &[], r#"{"message":"No commit found for SHA: aa"}"#),
                refused("422 No commit found for SHA: aa", false),
            ),
            (
                hub,
                answer(401, &[], r#"{"message":"Bad credentials"}"#),
                refused("401 Bad credentials", false),
            ),
            (
                tea,
                answer(403, &[], r#"{"message":"token does not have scope"}"#),
                refused("403 token does not have scope", false),
            ),
            (
                bucket,
                answer(
                    404,
                    &[],
                    r#"{"type":"error","error":{"message":"Repository not found"}}"#,
                ),
                refused("404 Repository not found", false),
            ),
            (
                hub,
                answer(403, &[("retry-after", "60")], secondary),
                limited(Some(1060), "403 You have exceeded a secondary rate limit."),
            ),
            (
                hub,
                answer(403, &[], secondary),
                limited(None, "403 You have exceeded a secondary rate limit."),
            ),
            (
                hub,
                answer(
                    403,
                    &[
                        ("x-ratelimit-remaining", "0"),
                        ("x-ratelimit-reset", "2000"),
                    ],
                    "{}",
                ),
                limited(Some(2000), "403 {}"),
            ),
            (
                lab,
                answer(
                    429,
                    &[("ratelimit-remaining", "0"), ("ratelimit-reset", "1500")],
                    "",
                ),
                limited(Some(1500), "429"),
            ),
            (
                bucket,
                answer(429, &[], "Rate limit exceeded"),
                limited(None, "429 Rate limit exceeded"),
            ),
            // A date of RFC 9110; one that is past is now; a far one is not believed.
            (
                hub,
                answer(429, &[("retry-after", "Thu, 01 Jan 1970 00:20:00 GMT")], ""),
                limited(Some(1200), "429"),
            ),
            (
                hub,
                answer(429, &[("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT")], ""),
                limited(Some(1000), "429"),
            ),
            (
                hub,
                answer(429, &[("retry-after", "4000000000")], ""),
                limited(Some(1000 + 86_400), "429"),
            ),
            (
                hub,
                answer(503, &[("retry-after", "5")], ""),
                limited(Some(1005), "503"),
            ),
            (
                hub,
                answer(500, &[], "<h1>oops</h1>"),
                trouble("500 <h1>oops</h1>"),
            ),
            (hub, answer(502, &[], ""), trouble("502")),
            (
                hub,
                answer(301, &[("location", "https://x.example/y")], ""),
                refused(
                    "301: the repository has moved to https://x.example/y: name it in [statuses]",
                    false,
                ),
            ),
        ];
        for (kind, answer, expected) in table {
            let judged = judge(kind.forge(), &answer, Some(&status()), at(1000));
            assert_eq!(judged.judgement, expected, "{answer:?}");
        }
    }

    fn status() -> Status {
        Status {
            commit: "a".repeat(40),
            context: "nixus/web1".to_owned(),
            word: Word::Success,
            description: "success".to_owned(),
            link: None,
        }
    }

    #[test]
    fn only_the_forges_own_answer_shows_that_a_status_was_taken() {
        let page = "<!DOCTYPE html><title>Sign in</title>";
        let own = r#"{"context":"nixus/web1","name":"nixus/web1","key":"nixus/web1"}"#;
        let other = r#"{"context":"nixus/db1","name":"nixus/db1","key":"nixus/db1"}"#;
        let list = r#"[{"context":"nixus/web1","name":"nixus/web1","key":"nixus/web1"}]"#;
        for kind in Kind::ALL {
            for number in 200..=299_u16 {
                for body in [page, "", "{}", "null", other, list, own] {
                    let documented = match kind {
                        Kind::Bitbucket => matches!(number, 200 | 201),
                        _ => number == 201,
                    };
                    let answer = answer(number, &[], body);
                    let judged = judge(kind.forge(), &answer, Some(&status()), at(1000));
                    let taken = judged.judgement == Judgement::Taken;
                    assert_eq!(taken, documented && body == own, "{kind:?} {answer:?}");
                    // It is posted again, later.
                    let again =
                        matches!(judged.judgement, Judgement::Trouble { answered: true, .. });
                    assert_eq!(again, !taken);
                }
            }
        }
    }

    #[test]
    fn the_last_request_that_was_allowed_is_noticed() {
        let last = answer(
            201,
            &[
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1600"),
            ],
            r#"{"context":"nixus/web1"}"#,
        );
        assert_eq!(
            judge(Kind::GitHub.forge(), &last, Some(&status()), at(1000)).pause,
            Some(at(1600))
        );
        let more = answer(
            201,
            &[
                ("x-ratelimit-remaining", "1"),
                ("x-ratelimit-reset", "1600"),
            ],
            r#"{"context":"nixus/web1"}"#,
        );
        let more = judge(Kind::GitHub.forge(), &more, Some(&status()), at(1000));
        assert_eq!(more.pause, None);
    }
}
