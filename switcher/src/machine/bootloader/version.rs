//! How versions are ordered in a boot menu (UAPI.10 Version Format Specification, which the Boot Loader
//! Specification refers to; the same in systemd-boot since 250, as `strverscmp_improved`).

use std::cmp::Ordering;

/// Orders two versions, the older one first.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        (a, b) = (separators(a), separators(b));
        // A pre-release comes before what it leads to, and before nothing at all.
        if let Some(order) = mark(&mut a, &mut b, b'~') {
            return order;
        }
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        for sign in *b"-^." {
            if let Some(order) = mark(&mut a, &mut b, sign) {
                return order;
            }
        }
        let digits = starts_with(a, u8::is_ascii_digit) || starts_with(b, u8::is_ascii_digit);
        let order = if digits {
            numbers(
                take(&mut a, u8::is_ascii_digit),
                take(&mut b, u8::is_ascii_digit),
            )
        } else {
            let letters = u8::is_ascii_alphabetic;
            take(&mut a, letters).cmp(take(&mut b, letters))
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// What is neither a letter nor a digit nor one of the marks only separates.
fn separators(text: &[u8]) -> &[u8] {
    let counts = |byte: &u8| byte.is_ascii_alphanumeric() || b"~-^.".contains(byte);
    let start = text.iter().position(counts).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// A mark in one of them alone makes that the older one; one in both is passed over.
fn mark(a: &mut &[u8], b: &mut &[u8], sign: u8) -> Option<Ordering> {
    let is = |text: &[u8]| text.first() == Some(&sign);
    match (is(a), is(b)) {
        (true, true) => {
            *a = a.get(1..).unwrap_or_default();
            *b = b.get(1..).unwrap_or_default();
            None
        }
        (false, false) => None,
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
    }
}

fn starts_with(text: &[u8], is: fn(&u8) -> bool) -> bool {
    text.first().is_some_and(is)
}

fn take<'a>(text: &mut &'a [u8], is: fn(&u8) -> bool) -> &'a [u8] {
    let end = text.iter().position(|byte| !is(byte)).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

/// By value, however long. No number is older than any.
fn numbers(a: &[u8], b: &[u8]) -> Ordering {
    let value = |digits: &[u8]| {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.get(zeros..).unwrap_or_default().to_vec()
    };
    let (x, y) = (value(a), value(b));
    let by_value = x.len().cmp(&y.len()).then_with(|| x.cmp(&y));
    a.is_empty().cmp(&b.is_empty()).reverse().then(by_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, and names as NixOS' builders make them.
    #[test]
    fn versions_are_ordered_as_the_specification_says() {
        let ordered = [
            "~1",
            "",
            "ab",
            "abb",
            "abc",
            "0001",
            "002",
            "12",
            "122",
            "122.9",
            "123~rc1",
            "123",
            "123-a",
            "123-a.1",
            "123-a1",
            "123-a1.1",
            "123-3",
            "123-3.1",
            "123^patch1",
            "123^1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124",
        ];
        for (at, newer) in ordered.iter().enumerate() {
            for older in &ordered[..at] {
                assert_eq!(compare(older, newer), Ordering::Less, "{older:?} {newer:?}");
                assert_eq!(
                    compare(newer, older),
                    Ordering::Greater,
                    "{newer:?} {older:?}"
                );
            }
        }
        for (older, newer) in [
            ("nixos-generation-9.conf", "nixos-generation-10.conf"),
            ("Generation 9, 2026-01-02", "Generation 10, 2026-01-01"),
            (
                "Generation 10-fast, 2026-01-01",
                "Generation 10, 2026-01-01",
            ),
        ] {
            assert_eq!(compare(older, newer), Ordering::Less, "{older:?} {newer:?}");
        }
        assert_eq!(compare("1_2", "1+2"), Ordering::Equal);
    }
}
