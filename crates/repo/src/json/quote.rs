//! Names of files in trees: Go's `strconv.Quote` without the outer quotes, and that once more as a JSON string.
//!
//! Names are bytes and not always text. Quoting writes what is not UTF-8 or not printable as an escape, so that every name has
//! its own text and comes back byte for byte.

use super::printable::is_printable;
use super::string::{hex_pair, push_escape, push_escaped};

/// Appends the quoted name as a JSON string with its quotes.
pub(crate) fn push_quoted(out: &mut Vec<u8>, name: &[u8]) {
    out.push(b'"');
    let plain = name.iter().position(|byte| !plain(*byte)).unwrap_or(name.len());
    let (head, tail) = name.split_at(plain);
    out.extend_from_slice(head);
    for chunk in tail.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_quoted_char(out, c);
        }
        for byte in chunk.invalid() {
            push_hex(out, *byte);
        }
    }
    out.push(b'"');
}

/// Whether the byte is itself both in Quote and in JSON.
fn plain(byte: u8) -> bool {
    matches!(byte, 0x20..0x7f) && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

fn push_quoted_char(out: &mut Vec<u8>, c: char) {
    let letter = match c {
        ' '..='~' if plain(c as u8) => return out.push(c as u8),
        '<' | '>' | '&' => return push_escape(out, c as u8),
        '"' => return out.extend_from_slice(br#"\\\""#),
        '\\' => return out.extend_from_slice(br"\\\\"),
        '\u{7}' => b'a',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{b}' => b'v',
        ..'\u{80}' => return push_hex(out, c as u8),
        _ if is_printable(c) => return push_escaped(out, c.encode_utf8(&mut [0; 4])),
        _ => return push_code(out, u32::from(c)),
    };
    out.extend_from_slice(&[b'\\', b'\\', letter]);
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(br"\\x");
    out.extend_from_slice(&hex_pair(byte));
}

/// `\uNNNN` below U+10000, else `\UNNNNNNNN`.
fn push_code(out: &mut Vec<u8>, code: u32) {
    let wide = code >= 0x10000;
    out.extend_from_slice(if wide { br"\\U" } else { br"\\u" });
    for byte in code.to_be_bytes().into_iter().skip(if wide { 0 } else { 2 }) {
        out.extend_from_slice(&hex_pair(byte));
    }
}

/// Appends the name that the quoted text (already free of JSON's escapes) stands for. `None`: not what Go's `Unquote` takes.
pub(crate) fn unquote(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        out.extend_from_slice(rest.get(..at)?.as_bytes());
        rest = rest.get(at..)?.strip_prefix('\\')?;
        let letter = *rest.as_bytes().first()?;
        rest = match letter {
            b'x' => push_byte(rest.get(1..)?, 2, 16, out)?,
            b'0'..=b'7' => push_byte(rest, 3, 8, out)?,
            b'u' => push_char(rest.get(1..)?, 4, out)?,
            b'U' => push_char(rest.get(1..)?, 8, out)?,
            _ => {
                out.push(short_escape(letter)?);
                rest.get(1..)?
            }
        };
    }
    out.extend_from_slice(rest.as_bytes());
    Some(())
}

fn short_escape(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' | b'"' => letter,
        _ => return None,
    })
}

fn push_byte<'t>(text: &'t str, digits: usize, radix: u32, out: &mut Vec<u8>) -> Option<&'t str> {
    let (code, rest) = code_of(text, digits, radix)?;
    out.push(u8::try_from(code).ok()?);
    Some(rest)
}

fn push_char<'t>(text: &'t str, digits: usize, out: &mut Vec<u8>) -> Option<&'t str> {
    let (code, rest) = code_of(text, digits, 16)?;
    let c = char::from_u32(code)?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

/// The number in so many digits, and the text behind them.
fn code_of(text: &str, digits: usize, radix: u32) -> Option<(u32, &str)> {
    let (number, rest) = (text.get(..digits)?, text.get(digits..)?);
    // `from_str_radix` alone would take a sign.
    if !number.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    Some((u32::from_str_radix(number, radix).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::string::unescape;

    fn quoted(name: &[u8]) -> String {
        let mut out = Vec::new();
        push_quoted(&mut out, name);
        String::from_utf8(out).unwrap()
    }

    fn back(json: &str) -> Option<Vec<u8>> {
        let (mut text, mut name) = (String::new(), Vec::new());
        unescape(&json[1..json.len() - 1], &mut text)?;
        unquote(&text, &mut name).map(|()| name)
    }

    #[test]
    fn as_restic_writes_them() {
        let weird = b"weird\\\"\t\xff\xc3\xa9\xe2\x80\xa8 name";
        assert_eq!(quoted(weird), r#""weird\\\\\\\"\\t\\xffé\\u2028 name""#);
        assert_eq!(
            quoted("a<b>&c\u{7f}\u{a0}".as_bytes()),
            r#""a\u003cb\u003e\u0026c\\x7f\\u00a0""#
        );
        assert_eq!(quoted(b"\x01\x07\x08\x0b\x0c\n\r'"), r#""\\x01\\a\\b\\v\\f\\n\\r'""#);
        assert_eq!(
            quoted("\u{fffd}\u{e000}\u{378}e\u{301}\u{f0000}".as_bytes()),
            "\"\u{fffd}\\\\ue000\\\\u0378e\u{301}\\\\U000f0000\""
        );
        assert_eq!(quoted(b"x\xe2\x80y"), r#""x\\xe2\\x80y""#);
    }

    #[test]
    fn unquote_takes_what_go_takes() {
        let name = |text: &str| {
            let mut out = Vec::new();
            unquote(text, &mut out).map(|()| out)
        };
        assert_eq!(
            name(r#"\a\b\f\n\r\t\v\\\"\x41\101\u00e9\U0001f600é"#),
            Some(b"\x07\x08\x0c\n\r\t\x0b\\\"AA\xc3\xa9\xf0\x9f\x98\x80\xc3\xa9".to_vec())
        );
        assert_eq!(name("a\tb"), Some(b"a\tb".to_vec()));
        for wrong in [
            r#"""#,
            "a\nb",
            r"\",
            r"\'",
            r"\q",
            r"\x4",
            r"\x+1",
            r"\400",
            r"\8",
            r"\ud800",
            r"\U00110000",
            r"\u12é",
        ] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_name_survives(name: Vec<u8>) {
            proptest::prop_assert_eq!(back(&quoted(&name)), Some(name));
        }

        #[test]
        fn any_text_survives(name: String) {
            proptest::prop_assert_eq!(back(&quoted(name.as_bytes())), Some(name.into_bytes()));
        }

        #[test]
        fn nothing_panics(text: String) {
            let _ = unquote(&text, &mut Vec::new());
        }
    }
}
