//! Text from outside, made fit to be shown: on terminals, in journals, in reports.
//!
//! git servers, forges, peers, commits, programs and host names send text that is shown to people. None of it
//! moves a cursor, writes to a clipboard, hides, or turns what stands beside it around (CVE-2021-42574,
//! CVE-2024-52005).

/// Characters without a shape of their own that change how others are shown: Unicode's general category Cf
/// (UnicodeData.txt 16.0), and the separators of lines and paragraphs (Zl, Zp).
const FORMAT: [(char, char); 23] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    // Not assigned, and to be ignored where it is shown (Default_Ignorable_Code_Point).
    ('\u{2065}', '\u{2065}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
    // Fillers that look like nothing.
    ('\u{115f}', '\u{1160}'),
    ('\u{3164}', '\u{3164}'),
];

/// Whether a character shows itself and nothing else.
pub fn is_printable(letter: char) -> bool {
    let is_format = || {
        FORMAT
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&letter))
    };
    !letter.is_control() && (letter.is_ascii() || !is_format())
}

/// A text with a blank for whatever is not to be shown, ends of lines too.
pub fn printable(text: &str) -> String {
    blanked(text, |_| false)
}

/// The same for a text of several lines, with tabs.
pub fn printable_lines(text: &str) -> String {
    blanked(text, |letter| matches!(letter, '\n' | '\t'))
}

fn blanked(text: &str, kept: fn(char) -> bool) -> String {
    let shown = |letter: char| match is_printable(letter) || kept(letter) {
        true => letter,
        false => ' ',
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_has_power_over_a_terminal() {
        let table = [
            ("plain, größer, 日本語, 🚀", "plain, größer, 日本語, 🚀"),
            ("\u{1b}]52;c;cm0gLXJm\u{7}", " ]52;c;cm0gLXJm "),
            ("\u{9b}2J\u{90}q\u{9c}", " 2J q "),
            ("a\rb\u{8}c\u{7f}d\0e", "a b c d e"),
            ("fix \u{202e}gnp.exe\u{202c}", "fix  gnp.exe "),
            ("\u{2066}a\u{2069}\u{200b}\u{200f}\u{feff}", " a    "),
            ("a\u{2028}b\u{2029}c\u{85}d", "a b c d"),
            ("\u{e0041}\u{e007f}x\u{ad}\u{61c}", "  x  "),
            ("one\n\ttwo", "one  two"),
        ];
        for (text, shown) in table {
            assert_eq!(printable(text), shown, "{text:?}");
            assert_eq!(printable(&printable(text)), shown);
        }
        assert_eq!(
            printable_lines("one\n\ttwo\r\u{1b}[2J\n"),
            "one\n\ttwo  [2J\n"
        );
    }
}
