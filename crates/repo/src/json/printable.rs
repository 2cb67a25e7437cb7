//! Go's `unicode.IsPrint`: letters, marks, numbers, punctuation and symbols, and of the spaces only U+0020.
//!
//! The table holds Unicode 15.0.0, as Go from 1.21 on does. An older Go escapes the few characters that came later; such names
//! are read alike and only written differently.

use super::printable_table::BOUNDS;

/// Whether Go prints the character as it is.
pub(super) fn is_printable(c: char) -> bool {
    let code = u32::from(c);
    match code {
        0..0x20 | 0x7f => false,
        0x20..0x7f => true,
        // Latin, Greek, CJK and Hangul come most often: the search in the table is short enough for them.
        _ => BOUNDS.partition_point(|bound| *bound <= code) % 2 == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::is_printable;

    #[test]
    fn known_characters() {
        for c in
            ['a', ' ', '~', 'é', '\u{301}', '世', '\u{fffd}', '😀', '\u{1f6dc}', '€', '\u{10fffd}']
        {
            assert_eq!(is_printable(c), c != '\u{10fffd}', "{c:?}");
        }
        let hidden =
            ['\n', '\u{7f}', '\u{80}', '\u{a0}', '\u{ad}', '\u{378}', '\u{2028}', '\u{200b}'];
        for c in
            hidden.into_iter().chain(['\u{e000}', '\u{feff}', '\u{3000}', '\u{e0001}', '\u{f0000}'])
        {
            assert!(!is_printable(c), "{c:?}");
        }
    }
}
