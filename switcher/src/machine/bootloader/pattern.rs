//! The patterns by which `loader.conf` and the firmware's variables name entries: `*`, `?`, `[…]` and
//! `\`, without regard to case (loader.conf(5), `default`; systemd-boot, `efi_fnmatch`).

/// Whether an entry's identifier matches.
pub fn matches(pattern: &str, id: &str) -> bool {
    let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    at(&lower(pattern), &lower(id))
}

/// With the last `*` to go back to; so the time is bounded by the product of both lengths.
fn at(pattern: &[char], id: &[char]) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut star = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            star = Some((p + 1, i));
            p += 1;
            continue;
        }
        let one = id
            .get(i)
            .map(|found| one(&pattern[p.min(pattern.len())..], *found));
        match (one, star) {
            (None, _) if p == pattern.len() => return true,
            (Some(Some(length)), _) => {
                p += length;
                i += 1;
            }
            (Some(None), Some((after, from))) => {
                star = Some((after, from + 1));
                p = after;
                i = from + 1;
            }
            _ => return false,
        }
    }
}

/// How much of the pattern stands for this one character.
fn one(pattern: &[char], found: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '\\' => (pattern.get(1) == Some(&found)).then_some(2),
        '[' => {
            let end = pattern.iter().skip(2).position(|sign| *sign == ']')? + 2;
            let set = &pattern[1..end];
            let range = |three: &[char]| three[1] == '-' && (three[0]..=three[2]).contains(&found);
            (set.contains(&found) || set.windows(3).any(range)).then_some(end + 1)
        }
        sign => (*sign == found).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_loader_matches_them() {
        for (pattern, id, expected) in [
            ("nixos-*", "nixos-generation-4.conf", true),
            ("*", "", true),
            ("*", "auto-windows", true),
            ("NixOS-4F.conf", "nixos-4f.conf", true),
            ("nixos-?.conf", "nixos-4.conf", true),
            ("nixos-?.conf", "nixos-14.conf", false),
            ("nixos-[0-9].conf", "nixos-4.conf", true),
            ("nixos-[ab].conf", "nixos-c.conf", false),
            ("*-*-4.conf", "nixos-generation-4.conf", true),
            ("*-*-5.conf", "nixos-generation-4.conf", false),
            (
                "nixos-generation-1.conf",
                "nixos-generation-1-specialisation-x.conf",
                false,
            ),
            ("nixos-[", "nixos-[", false),
            ("", "", true),
            ("", "x", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
        ] {
            assert_eq!(matches(pattern, id), expected, "{pattern:?} {id:?}");
        }
    }
}
