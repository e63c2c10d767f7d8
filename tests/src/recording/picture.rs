//! A picture of a terminal, as an SVG that forges show.

use std::fmt::Write as _;

use super::terminal::{self, Span, Style};

/// How many characters a line has before it goes on in the next one.
const COLUMNS: usize = super::COLUMNS as usize;
/// A monospaced character is three fifths as wide as its font is high.
const CHARACTER: f64 = 7.8;
const FONT: f64 = 13.0;
const LINE: f64 = 18.0;
const MARGIN: f64 = 16.0;
/// The bar above the text.
const BAR: f64 = 30.0;
const BACKGROUND: &str = "#1b1f27";
const TEXT: &str = "#d7dce2";
const FAINT: &str = "#7d8694";
/// The terminal's colours: black, red, green, yellow, blue, magenta, cyan, white.
const PALETTE: [&str; 8] = [
    FAINT, "#ff7b72", "#6fd088", "#e3b341", "#79b8ff", "#d2a8ff", "#76e3ea", TEXT,
];

/// A picture of these scenes of what a command printed. A scene begins with a line `# heading`; what is left out
/// in between is one line with an ellipsis.
pub fn of(command: &str, text: &str, scenes: &[&str]) -> String {
    let rows: Vec<Vec<Span>> = chosen(terminal::lines(text), scenes)
        .into_iter()
        .flat_map(wrapped)
        .collect();
    let width = 2.0 * MARGIN + CHARACTER * COLUMNS as f64;
    let height = BAR + 2.0 * MARGIN + LINE * rows.len() as f64;
    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"{FONT}\">\n<title>What `{command}` prints on a terminal</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>"
    );
    for (index, colour) in ["#ff5f57", "#febc2e", "#28c840"].iter().enumerate() {
        let x = MARGIN + 6.0 + 20.0 * index as f64;
        let _ = writeln!(
            svg,
            "<circle cx=\"{x}\" cy=\"18\" r=\"6\" fill=\"{colour}\"/>"
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"22\" fill=\"{FAINT}\" text-anchor=\"middle\">{}</text>",
        width / 2.0,
        escaped(command)
    );
    for (index, row) in rows.iter().enumerate() {
        let y = BAR + MARGIN + LINE * (index as f64 + 0.75);
        let mut column = 0;
        for span in row {
            let x = MARGIN + CHARACTER * column as f64;
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" xml:space=\"preserve\" {}>{}</text>",
                attributes(span.style),
                escaped(&span.text)
            );
            column += span.text.chars().count();
        }
    }
    svg += "</svg>\n";
    svg
}

/// The lines of the scenes whose headings begin with one of these.
fn chosen(lines: Vec<Vec<Span>>, scenes: &[&str]) -> Vec<Vec<Span>> {
    let mut shown = Vec::new();
    let mut wanted = false;
    let mut left_out = false;
    for line in lines {
        let text: String = line.iter().map(|span| span.text.as_str()).collect();
        if let Some(heading) = text.strip_prefix("# ") {
            wanted = scenes.iter().any(|scene| heading.starts_with(scene));
            if wanted && left_out && !shown.is_empty() {
                let style = Style {
                    bold: false,
                    colour: Some(0),
                };
                let text = "…".to_owned();
                shown.extend([vec![Span { text, style }], Vec::new()]);
            }
            left_out = !wanted;
        }
        if wanted {
            shown.push(trimmed(line));
        }
    }
    while shown.last().is_some_and(Vec::is_empty) {
        shown.pop();
    }
    shown
}

/// A line without the blanks at its end, with which tables are filled up.
fn trimmed(mut line: Vec<Span>) -> Vec<Span> {
    while let Some(last) = line.last_mut() {
        last.text.truncate(last.text.trim_end().len());
        if !last.text.is_empty() {
            break;
        }
        line.pop();
    }
    line
}

/// The rows that a terminal makes of one line.
fn wrapped(line: Vec<Span>) -> Vec<Vec<Span>> {
    let mut rows = vec![Vec::new()];
    let mut column = 0;
    for span in line {
        let characters: Vec<char> = span.text.chars().collect();
        let mut rest = characters.as_slice();
        while !rest.is_empty() {
            if column == COLUMNS {
                rows.push(Vec::new());
                column = 0;
            }
            let (now, later) = rest.split_at(rest.len().min(COLUMNS - column));
            if let Some(row) = rows.last_mut() {
                row.push(Span {
                    text: now.iter().collect(),
                    style: span.style,
                });
            }
            column += now.len();
            rest = later;
        }
    }
    rows
}

fn attributes(style: Style) -> String {
    let colour = style
        .colour
        .map_or(TEXT, |colour| PALETTE[usize::from(colour % 8)]);
    let weight = if style.bold {
        " font-weight=\"bold\""
    } else {
        ""
    };
    format!("fill=\"{colour}\"{weight}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg_of_line(line: &str) -> String {
        of("lab demo", &format!("# {line}\n"), &[""])
    }

    #[test]
    fn scenes_are_shown_whole_and_what_is_between_them_is_left_out() {
        let text = "\n\x1b[1m# One.\x1b[0m\na\n\n# Two.\nb\n\n# Three.\n$ c <d> & e\n";
        let svg = of("lab demo", text, &["One", "Three"]);
        assert!(svg.contains("font-weight=\"bold\"># One.</text>"), "{svg}");
        assert!(svg.contains(">…</text>"), "{svg}");
        assert!(svg.contains(">$ c &lt;d&gt; &amp; e</text>"), "{svg}");
        assert!(!svg.contains("Two") && !svg.contains(">b<"), "{svg}");
        let blanks = svg_of_line("x \x1b[1m  \x1b[0m");
        assert_eq!(blanks.matches("<text").count(), 2, "{blanks}");
    }

    #[test]
    fn a_line_that_is_too_long_goes_on_in_the_next_row() {
        let line = terminal::lines(&format!("\x1b[32m[a]\x1b[0m{}", "x".repeat(COLUMNS))).remove(0);
        let rows = wrapped(line);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1][0].text, "xxx");
        assert_eq!(wrapped(Vec::new()), [Vec::new()]);
    }
}
