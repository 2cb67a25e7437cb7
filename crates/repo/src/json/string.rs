//! Strings in JSON, escaped as Go does it, and their way back.
//!
//! Escaped are `"`, `\`, control characters, `<`, `>` and `&` (Go guards against HTML), U+2028 and U+2029, and every byte that
//! is not UTF-8, as U+FFFD. `\b` and `\f` have their short forms since Go 1.22.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The two hexadecimal digits of the byte.
pub(crate) fn hex_pair(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
    [digit(byte >> 4), digit(byte & 15)]
}

/// Appends the text with its quotes; bytes that are not UTF-8 become U+FFFD each.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        push_escaped(out, chunk.valid());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

/// Appends the text, escaped, without quotes.
pub(crate) fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let plain = rest.iter().position(|byte| special(*byte)).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(plain);
        out.extend_from_slice(head);
        let Some((byte, after)) = tail.split_first() else { return };
        rest = after;
        match (*byte, after) {
            (0xe2, [0x80, last @ (0xa8 | 0xa9), beyond @ ..]) => {
                out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                rest = beyond;
            }
            (byte @ 0x80.., _) => out.push(byte),
            (byte, _) => push_escape(out, byte),
        }
    }
}

/// Bytes to look at: those to be escaped, and the first of U+2028 and U+2029.
fn special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2)
}

/// Appends the escape of one ASCII character that needs one.
pub(crate) fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&hex_pair(byte));
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends what stands between the quotes of a JSON string, with its escapes resolved.
///
/// A half of a surrogate pair without its other half becomes U+FFFD, as in Go. `None`: a wrong escape.
pub(crate) fn unescape(raw: &str, out: &mut String) -> Option<()> {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at)?);
        let letter = *rest.as_bytes().get(at + 1)?;
        rest = rest.get(at + 2..)?;
        let plain = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (c, after) = unicode_escape(rest)?;
                rest = after;
                c
            }
            _ => return None,
        };
        out.push(plain);
    }
    out.push_str(rest);
    Some(())
}

/// The character that four hexadecimal digits name, or these and a second escape when both are a surrogate pair; and the text behind.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let (first, rest) = four_digits(text)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, rest));
    }
    let second = rest.strip_prefix("\\u").and_then(four_digits);
    match second {
        Some((low @ 0xdc00..=0xdfff, after)) if first < 0xdc00 => {
            let code = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
            Some((char::from_u32(code)?, after))
        }
        _ => Some((char::REPLACEMENT_CHARACTER, rest)),
    }
}

/// The number of the first four hexadecimal digits, and the text behind them.
fn four_digits(text: &str) -> Option<(u32, &str)> {
    let digits = text.get(..4)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some((u32::from_str_radix(digits, 16).ok()?, text.get(4..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> String {
        let mut out = Vec::new();
        push_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_of_go() {
        assert_eq!(
            json(b"a<b>&\"\\\n\r\t\x08\x0c\x01\x7f"),
            r#""a\u003cb\u003e\u0026\"\\\n\r\t\b\f\u0001"#.to_owned() + "\x7f\""
        );
        assert_eq!(
            json("\u{2027}\u{2028}\u{2029}\u{202a}é".as_bytes()),
            "\"\u{2027}\\u2028\\u2029\u{202a}é\""
        );
        assert_eq!(json(b"x\xffy\xe2\x80z"), r#""x\ufffdy\ufffd\ufffdz""#);
    }

    #[test]
    fn unescape_is_the_way_back() {
        let back = |raw: &str| {
            let mut out = String::new();
            unescape(raw, &mut out).map(|()| out)
        };
        assert_eq!(
            back(r#"\"\\\/\b\f\n\r\tA\u00e9😀"#).as_deref(),
            Some("\"\\/\u{8}\u{c}\n\r\tAé😀")
        );
        assert_eq!(back(r"\ud83d\ude00").as_deref(), Some("😀"));
        assert_eq!(back(r"\ud83dx\ude00").as_deref(), Some("\u{fffd}x\u{fffd}"));
        assert_eq!(back(r"\ud83d\u0041").as_deref(), Some("\u{fffd}A"));
        for wrong in [r"\", r"\x41", r"\u12", r"\u+123", r"\u12é"] {
            assert_eq!(back(wrong), None, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives(text: String) {
            let written = json(text.as_bytes());
            let mut out = String::new();
            unescape(&written[1..written.len() - 1], &mut out).unwrap();
            proptest::prop_assert_eq!(&out, &text);
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
