//! What a program writes to a terminal, read as text with colours (ECMA-48, SGR).

/// Text in one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The text, without escapes.
    pub text: String,
    /// How it looks.
    pub style: Style,
}

/// How text looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether it is bold.
    pub bold: bool,
    /// One of the terminal's 16 colours; its own where there is none.
    pub colour: Option<u8>,
}

/// The text without escapes.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (characters, _) in pieces(text) {
        plain += &characters;
    }
    plain
}

/// The lines, each as spans that differ in style.
pub fn lines(text: &str) -> Vec<Vec<Span>> {
    let mut lines = Vec::new();
    let mut line: Vec<Span> = Vec::new();
    for (characters, style) in pieces(text) {
        for (index, part) in characters.split('\n').enumerate() {
            if index > 0 {
                lines.push(std::mem::take(&mut line));
            }
            if !part.is_empty() {
                line.push(Span {
                    text: part.to_owned(),
                    style,
                });
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The text between escapes, each piece with the style that it has.
fn pieces(text: &str) -> Vec<(String, Style)> {
    let mut style = Style::default();
    let mut parts = text.split('\x1b');
    let mut pieces = vec![(parts.next().unwrap_or_default().replace('\r', ""), style)];
    for part in parts {
        let Some(sequence) = part.strip_prefix('[') else {
            // A sequence of two characters.
            let rest: String = part.chars().skip(1).collect();
            pieces.push((rest.replace('\r', ""), style));
            continue;
        };
        let end = sequence
            .find(|c: char| ('@'..='~').contains(&c))
            .unwrap_or(sequence.len());
        let (numbers, rest) = sequence.split_at(end);
        if rest.starts_with('m') {
            style = style.with(numbers);
        }
        let rest: String = rest.chars().skip(1).collect();
        pieces.push((rest.replace('\r', ""), style));
    }
    pieces
}

impl Style {
    /// This style after a sequence with these numbers.
    fn with(mut self, numbers: &str) -> Self {
        let mut numbers = numbers
            .split(';')
            .map(|number| number.parse().unwrap_or(0_u8));
        while let Some(number) = numbers.next() {
            match number {
                0 => self = Self::default(),
                1 => self.bold = true,
                22 => self.bold = false,
                30..=37 => self.colour = Some(number - 30),
                90..=97 => self.colour = Some(number - 82),
                39 => self.colour = None,
                // One of 256: the first 16 are the terminal's own.
                38 if numbers.next() == Some(5) => {
                    self.colour = numbers.next().filter(|colour| *colour < 16);
                }
                _ => {}
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str, bold: bool, colour: Option<u8>) -> Span {
        Span {
            text: text.to_owned(),
            style: Style { bold, colour },
        }
    }

    #[test]
    fn colours_are_read_as_a_terminal_shows_them() {
        let text = "\x1b[1m# bold\x1b[0m\r\n\x1b[32m[web1]\x1b[0m text \x1b[38;5;9mred\x1b[39m\n";
        assert_eq!(
            lines(text),
            [
                vec![span("# bold", true, None)],
                vec![
                    span("[web1]", false, Some(2)),
                    span(" text ", false, None),
                    span("red", false, Some(9)),
                ],
            ]
        );
        assert_eq!(plain(text), "# bold\n[web1] text red\n");
    }

    #[test]
    fn other_sequences_leave_nothing_behind() {
        assert_eq!(plain("a\x1b[2Kb\x1b[?25lc\x1b7d\x1b["), "abcd");
        assert_eq!(lines("\x1b[48;5;3ma"), [vec![span("a", false, None)]]);
    }
}
