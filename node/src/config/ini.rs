//! A scan of INI text that keeps the line of every setting: Windows style, so `;` and `#` begin a
//! comment at the start of a line, lines may end in CR LF and a byte order mark is skipped. Values
//! run to the end of the line; a pair of double quotes around one is taken off. No escapes, no
//! continuation lines, no comments after a value.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

/// One meaningful line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    /// What stands there.
    pub(super) item: Item<'a>,
}

/// What a line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Item<'a> {
    /// `[name]`
    Section(&'a str),
    /// `key = value`
    Setting {
        /// Left of the first `=`.
        key: &'a str,
        /// Right of it, without quotes.
        value: &'a str,
    },
    /// Anything else.
    Unreadable(&'a str),
}

/// Every line of `text` that is neither blank nor a comment.
pub(super) fn scan(text: &str) -> impl Iterator<Item = Line<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let numbered = text.lines().zip(1..);
    numbered.filter_map(|(line, number)| {
        let line = line.trim();
        let is_comment = line.starts_with([';', '#']);
        (!line.is_empty() && !is_comment).then(|| Line {
            number,
            item: parse(line),
        })
    })
}

fn parse(line: &str) -> Item<'_> {
    if let Some(section) = line
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return Item::Section(section.trim());
    }
    match line.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Item::Setting {
            key: key.trim(),
            value: unquote(value.trim()),
        },
        _ => Item::Unreadable(line),
    }
}

fn unquote(value: &str) -> &str {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_files_are_read_with_their_line_numbers() {
        let text = "\u{feff}; shared by all modules\r\nhostkey = \"/my keys/host.pem\"\r\n\r\n\
                    # ours\r\n[dht]\r\n  ring=a=b\r\nnonsense\r\n= 1\r\n";
        let lines: Vec<(usize, Item)> = scan(text).map(|line| (line.number, line.item)).collect();
        let want = [
            (
                2,
                Item::Setting {
                    key: "hostkey",
                    value: "/my keys/host.pem",
                },
            ),
            (5, Item::Section("dht")),
            (
                6,
                Item::Setting {
                    key: "ring",
                    value: "a=b",
                },
            ),
            (7, Item::Unreadable("nonsense")),
            (8, Item::Unreadable("= 1")),
        ];
        assert_eq!(lines, want);
    }
}
