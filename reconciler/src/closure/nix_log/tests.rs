use proptest::prelude::*;

use super::*;

fn read(text: &[u8]) -> NixLog {
    let mut log = NixLog::default();
    log.hear(text);
    log.finish();
    log
}

const BUILDING: &str = concat!(
    "@nix {\"action\":\"start\",\"id\":1,\"level\":0,\"parent\":0,\"text\":\"\",\"type\":102}\n",
    "@nix {\"action\":\"start\",\"id\":2,\"level\":0,\"parent\":0,\"text\":\"\",\"type\":104}\n",
    "@nix {\"action\":\"result\",\"fields\":[1,7,2,0],\"id\":2,\"type\":105}\n",
    "@nix {\"action\":\"result\",\"fields\":[101,5000],\"id\":1,\"type\":106}\n",
    "@nix {\"action\":\"start\",\"id\":3,\"level\":0,\"parent\":0,\"text\":\"\",\"type\":101}\n",
    "@nix {\"action\":\"result\",\"fields\":[1200,3000,0,0],\"id\":3,\"type\":105}\n",
    "@nix {\"action\":\"stop\",\"id\":3}\n",
    "@nix {\"action\":\"start\",\"id\":4,\"level\":0,\"parent\":0,\"text\":\"\",\"type\":101}\n",
    "@nix {\"action\":\"result\",\"fields\":[300,900,0,0],\"id\":4,\"type\":105}\n",
);

#[test]
fn derivations_and_bytes_are_counted() {
    let expected = Progress {
        done: 1,
        running: 2,
        to_do: 4,
        bytes_fetched: 1500,
        bytes_expected: 5000,
    };
    assert_eq!(read(BUILDING.as_bytes()).progress(), expected);
    assert!(!read(b"").progress().is_any());
}

#[test]
fn what_was_done_stays_counted_when_nix_has_ended() {
    let said = include_bytes!("../nix_failure/recorded/ok.log");
    let log = read(said);
    assert_eq!(
        log.progress(),
        Progress {
            done: 2,
            ..Progress::default()
        }
    );
    assert!(log.errors().is_empty());
}

#[test]
fn an_error_comes_with_the_last_lines_of_its_builder() {
    let log = read(include_bytes!("../nix_failure/recorded/builder-exit.log"));
    let first = &log.errors()[0];
    assert!(first.text.ends_with("failed with exit code 1"), "{first:?}");
    assert_eq!(
        first.builder_said,
        ["compiling", "shop.c:1: error: no such header"]
    );
}

#[test]
fn floods_long_lines_and_nonsense_are_survived() {
    let mut log = NixLog::default();
    for _ in 0..100 {
        log.hear(&vec![b'x'; 100_000]);
    }
    log.hear(b"\n@nix {\"action\":\"msg\"\n@nix []\n@nix {\"action\":7}\n\xff\xfe\x00\n");
    log.hear(b"@nix {\"action\":\"new\",\"id\":1}\n@nix {\"action\":\"stop\",\"id\":99}\n");
    for id in 0..10_000 {
        log.hear(format!("@nix {{\"action\":\"start\",\"id\":{id},\"type\":105,\"fields\":[\"/nix/store/{id}.drv\"]}}\n").as_bytes());
        log.hear(
            format!(
                "plain {id}\n@nix {{\"action\":\"msg\",\"level\":0,\"msg\":\"error: {id}\"}}\n"
            )
            .as_bytes(),
        );
    }
    log.hear(BUILDING.as_bytes());
    log.finish();
    assert!(log.partial.capacity() <= 2 * MAX_LINE);
    assert!(log.activities.len() <= MAX_ACTIVITIES);
    assert_eq!(log.errors().len(), MAX_ERRORS);
    assert_eq!(log.errors()[0].text, "0");
    assert_eq!(log.plain().last(), Some("plain 9999"));
}

#[test]
fn colours_and_control_characters_are_removed() {
    let table = [
        ("\u{1b}[31;1merror:\u{1b}[0m x", "error: x"),
        ("a\u{7}\r\tb\nc", "a b\nc"),
        ("\u{1b}", ""),
        ("\u{1b}[", ""),
    ];
    for (text, cleaned) in table {
        assert_eq!(clean(text, 100), cleaned);
    }
    assert_eq!(clean("äöü", 2), "äö");
}

proptest! {
    #[test]
    fn where_the_stream_is_cut_changes_nothing(cuts in proptest::collection::vec(0..2500_usize, 0..8)) {
        let said = include_bytes!("../nix_failure/recorded/builder-exit.log");
        let whole = read(said);
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < said.len()).collect();
        cuts.extend([0, said.len()]);
        cuts.sort_unstable();
        let mut log = NixLog::default();
        for pair in cuts.windows(2) {
            log.hear(&said[pair[0]..pair[1]]);
        }
        log.finish();
        prop_assert_eq!(log.errors(), whole.errors());
        prop_assert_eq!(log.progress(), whole.progress());
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let mut said = b"@nix ".to_vec();
        said.extend(bytes);
        read(&said).progress();
    }
}
