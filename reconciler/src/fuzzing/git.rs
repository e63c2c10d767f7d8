//! What git servers, commits and URLs say.

use std::path::Path;

use nixus_switcher::fuzzing::{text, two};
use nixus_switcher::holds;
use nixus_switcher::printable::{is_printable, printable};
use url::Url;

use super::{Target, target};
use crate::address::{Address, credentials_in, without_credentials};
use crate::decide::plan::Head;
use crate::host::public_key::PublicKey;
use crate::manifest::{Manifest, signature};
use crate::source::askpass;
use crate::source::ls_refs::{self, Read};
use crate::source::ssh;
use crate::source::{FoundManifest, lfs, list, retry_trailers, submodules};

pub(super) const TARGETS: &[Target] = &[
    target("ls-refs", ls_refs),
    target("ls-remote", ls_remote),
    target("url", url),
    target("credentials", credentials),
    target("askpass", askpass),
    target("submodule-url", submodule_url),
    target("submodules", listed_submodules),
    target("lfs", large_files),
    target("trailers", trailers),
    target("manifest", manifest),
    target("manifest-signature", manifest_signature),
    target("changed-host-key", changed_host_key),
];

const REF: &str = "refs/heads/main";

fn ls_refs(bytes: &[u8]) -> Result<(), String> {
    for read in [ls_refs::in_session, ls_refs::refs] {
        let whole = read(bytes, REF);
        if let Read::Whole(Head::At(id)) = &whole {
            let id = id.as_str();
            let is_in = bytes.windows(id.len()).any(|part| part == id.as_bytes());
            holds!(is_in, "{id} is not in the answer");
        }
        // What comes later changes nothing once there is a conclusion, and what is cut is none.
        let cut = &bytes[..bytes.len() / 2];
        let early = read(cut, REF);
        holds!(
            early == Read::More || early == whole,
            "{early:?} after the half, and {whole:?} after all"
        );
    }
    Ok(())
}

fn ls_remote(bytes: &[u8]) -> Result<(), String> {
    match list::head_in(bytes, REF) {
        Ok(Head::At(id)) => {
            let id = id.as_str().as_bytes();
            holds!(
                bytes.windows(id.len()).any(|part| part == id),
                "the id is not in the answer"
            );
        }
        Ok(_) => {}
        Err(problem) => holds!(problem.len() < 2000, "{} bytes of an error", problem.len()),
    }
    Ok(())
}

fn url(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    let Ok(address) = Address::parse(&text) else {
        return Ok(());
    };
    holds!(
        text.chars().all(|letter| !letter.is_control()),
        "{text:?} is taken"
    );
    holds!(
        credentials_in(&text).is_none(),
        "credentials in {text:?} are taken"
    );
    let server = address.server();
    holds!(
        !server.host().starts_with('-'),
        "{text:?} has an option for a host"
    );
    if server.host().is_empty() {
        return Ok(());
    }
    let again = Address::server_of_question(&server.to_string());
    holds!(
        again.as_ref() == Ok(server),
        "{server} is read as {again:?}"
    );
    // reqwest and the browser's rules lead to the same server.
    if text.starts_with("http://") || text.starts_with("https://") {
        let url =
            Url::parse(&text).map_err(|error| format!("{text:?} is none for others: {error}"))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        holds!(
            (host, url.port_or_known_default()) == (server.host(), server.port()),
            "{text:?} leads others to {host}"
        );
    }
    Ok(())
}

/// A password is in no text that is shown, whatever stands around it.
fn credentials(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    let shown = without_credentials(&text);
    holds!(
        without_credentials(&shown) == shown,
        "{shown:?} is changed again"
    );
    let around: Vec<char> = printable(&text).chars().collect();
    let (before, after) = around.split_at(around.len() / 2);
    let (before, after) = (String::from_iter(before), String::from_iter(after));
    for scheme in ["https", "http", "ssh"] {
        let whole = format!("{before} {scheme}://me:hunter2s3cret@git.example/{after}");
        let shown = without_credentials(&whole);
        holds!(
            !shown.contains("hunter2s3cret"),
            "the password is shown: {shown:?}"
        );
    }
    Ok(())
}

/// The token goes to its own server alone.
fn askpass(bytes: &[u8]) -> Result<(), String> {
    let question = text(bytes);
    let answer = askpass::answer(&question, Path::new("/dev/null"), "https://git.example");
    if answer.is_err() {
        return Ok(());
    }
    let url = question.split('\'').nth(1).unwrap_or_default();
    let url = Url::parse(url).map_err(|error| format!("{question:?} is answered: {error}"))?;
    holds!(
        (url.scheme(), url.host_str(), url.port_or_known_default())
            == ("https", Some("git.example"), Some(443)),
        "{question:?} is answered"
    );
    Ok(())
}

/// A relative URL leads to the server of its repository.
fn submodule_url(bytes: &[u8]) -> Result<(), String> {
    let url = text(bytes);
    for base in [
        "https://git.example/fleet/deploy.git",
        "git@git.example:fleet/deploy.git",
        "/srv/deploy.git",
    ] {
        let Some(resolved) = submodules::resolve(base, &url) else {
            continue;
        };
        holds!(
            !resolved.starts_with('-') && !resolved.is_empty(),
            "{resolved:?} is an option"
        );
        let relative = url.starts_with("./") || url.starts_with("../");
        if let (true, Ok(own), Ok(other)) =
            (relative, Address::parse(base), Address::parse(&resolved))
        {
            holds!(
                own.server() == other.server(),
                "{url:?} leads from {base} to {resolved}"
            );
        }
    }
    Ok(())
}

fn listed_submodules(bytes: &[u8]) -> Result<(), String> {
    let listed = text(bytes);
    let urls = submodules::urls_in(&listed);
    holds!(
        urls.iter()
            .all(|(path, url)| listed.contains(path.as_str()) && listed.contains(url.as_str())),
        "{urls:?} is not in it"
    );
    Ok(())
}

fn large_files(bytes: &[u8]) -> Result<(), String> {
    let is = lfs::is_pointer(bytes);
    holds!(
        !is || bytes.starts_with(b"version https://"),
        "it is taken for a pointer"
    );
    let names = lfs::gives_to_lfs(&text(bytes));
    holds!(
        !names || bytes.windows(10).any(|part| part == b"filter=lfs"),
        "it names no LFS"
    );
    Ok(())
}

fn trailers(bytes: &[u8]) -> Result<(), String> {
    let message = text(bytes);
    if let Ok(found) = retry_trailers(&message) {
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        holds!(
            shown.iter().all(|one| message.contains(one)),
            "{shown:?} is not in it"
        );
    }
    Ok(())
}

fn manifest(bytes: &[u8]) -> Result<(), String> {
    let Ok(read) = Manifest::parse(bytes) else {
        return Ok(());
    };
    let written = read.to_text().map_err(|error| error.to_string())?;
    let again = Manifest::parse(written.as_bytes()).map_err(|error| error.to_string())?;
    let again = again.to_text().map_err(|error| error.to_string())?;
    holds!(again == written, "it changes when read again");
    Ok(())
}

/// Nothing that is made up is a signature of this key.
fn manifest_signature(bytes: &[u8]) -> Result<(), String> {
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFucuLfGiPO6o/7MVYEssN4oJf97OdPxncH39NUnrhLE alice";
    let key: PublicKey = KEY.parse()?;
    let found = FoundManifest {
        text: b"{}".to_vec(),
        signature: Some(bytes.to_vec()),
    };
    match signature::check(&found, &[key]) {
        Ok(()) => Err("it is believed".to_owned()),
        Err(error) => {
            let words = error.to_string();
            holds!(words.len() < 2000, "{} bytes of an error", words.len());
            Ok(())
        }
    }
}

/// What ssh says, NUL, and the file that it named.
fn changed_host_key(bytes: &[u8]) -> Result<(), String> {
    let (said, _) = two(bytes);
    if let Some(sentence) = ssh::changed_host_key(&said, None) {
        let printable = printable(&said).chars().all(is_printable);
        holds!(
            printable && !sentence.contains('\n'),
            "{sentence:?} is not a sentence"
        );
    }
    Ok(())
}
