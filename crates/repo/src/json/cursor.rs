//! A cursor over JSON text that reads one thing after the other and builds nothing.
//!
//! It never calls itself: values that nobody asked for are skipped with a stack of brackets of limited height, so hostile
//! nesting costs nothing. Every failure carries the place.

use super::string::unescape;

/// More nesting than any file of a repository has.
const DEPTH_MAX: usize = 64;

/// What is wrong, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub at: usize,
    pub reason: &'static str,
}

type Read<T> = Result<T, Fault>;

/// What stands between the quotes of a string. Its escapes are well formed.
#[derive(Clone, Copy)]
pub(crate) struct RawStr<'t> {
    pub raw: &'t str,
    pub escaped: bool,
}

impl<'t> RawStr<'t> {
    /// The text; the space is used only when there are escapes to resolve.
    pub fn text<'s>(&self, space: &'s mut String) -> &'s str
    where
        't: 's,
    {
        if !self.escaped {
            return self.raw;
        }
        space.clear();
        // Escapes were checked when the string was found.
        let _ = unescape(self.raw, space);
        space
    }
}

/// The text and how far it is read.
#[derive(Clone)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    /// At the start. Fails when the bytes are not UTF-8.
    pub fn new(bytes: &'t [u8]) -> Read<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(error) => Err(Fault { at: error.valid_up_to(), reason: "not UTF-8" }),
        }
    }

    /// Byte at which the next thing is read.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn fault(&self, reason: &'static str) -> Fault {
        Fault { at: self.at, reason }
    }

    /// The text from a place that was passed up to here.
    pub fn since(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space, not taken.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Takes the byte if it is next.
    pub fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Takes the byte or fails.
    pub fn expect(&mut self, wanted: u8, reason: &'static str) -> Read<()> {
        if self.eat(wanted) { Ok(()) } else { Err(self.fault(reason)) }
    }

    /// Takes the word if it is next.
    pub fn eat_word(&mut self, word: &str) -> bool {
        self.peek();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let found = rest.starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Nothing but white space may be left.
    pub fn end(&mut self) -> Read<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.fault("text after the end")) }
    }

    /// After a member of an object or an element of an array: whether another one follows.
    pub fn more(&mut self, close: u8) -> Read<bool> {
        if self.eat(b',') {
            return Ok(true);
        }
        self.expect(close, "expected a comma or a closing bracket")?;
        Ok(false)
    }

    /// A string.
    pub fn string(&mut self) -> Read<RawStr<'t>> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.at += plain.unwrap_or(rest.len());
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.skip_escape()?;
                }
                Some(_) => return Err(self.fault("control character in a string")),
                None => return Err(self.fault("string without an end")),
            }
        }
        let raw = self.since(start);
        self.at += 1;
        Ok(RawStr { raw, escaped })
    }

    fn skip_escape(&mut self) -> Read<()> {
        let rest = self.text.as_bytes().get(self.at + 1..).unwrap_or_default();
        let length = match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'u', a, b, c, d, ..]
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                6
            }
            _ => return Err(self.fault("wrong escape in a string")),
        };
        self.at += length;
        Ok(())
    }

    /// The key of a member, with the colon behind it.
    pub fn key(&mut self) -> Read<RawStr<'t>> {
        let key = self.string()?;
        self.expect(b':', "expected a colon")?;
        Ok(key)
    }

    /// A whole number that is not negative.
    pub fn unsigned(&mut self) -> Read<u64> {
        self.peek();
        let start = self.clone();
        let mut number = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            let grown = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(u64::from(digit - b'0')));
            number = grown.ok_or_else(|| start.fault("number too large"))?;
            self.at += 1;
        }
        let leading_zero = start.byte() == Some(b'0') && self.at > start.at + 1;
        let fraction = matches!(self.byte(), Some(b'.' | b'e' | b'E'));
        if self.at == start.at || leading_zero || fraction {
            return Err(start.fault("expected a whole number"));
        }
        Ok(number)
    }

    /// Skips any value and answers its text, which is well-formed JSON.
    pub fn skip_value(&mut self) -> Read<&'t str> {
        self.peek();
        let start = self.at;
        let mut open = Vec::new();
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    let close = if bracket == b'{' { b'}' } else { b']' };
                    if !self.eat(close) {
                        open.push(close);
                        self.deep_enough(open.len())?;
                        self.member_key(close)?;
                        continue;
                    }
                }
                Some(b'"') => drop(self.string()?),
                Some(_) => self.skip_word_or_number()?,
                None => return Err(self.fault("expected a value")),
            }
            // A value has ended: close what ends with it.
            loop {
                let Some(close) = open.last().copied() else {
                    return Ok(self.since(start));
                };
                if self.more(close)? {
                    self.member_key(close)?;
                    break;
                }
                open.pop();
            }
        }
    }

    fn deep_enough(&self, depth: usize) -> Read<()> {
        if depth > DEPTH_MAX { Err(self.fault("nested too deeply")) } else { Ok(()) }
    }

    fn member_key(&mut self, close: u8) -> Read<()> {
        if close == b'}' {
            self.key()?;
        }
        Ok(())
    }

    fn skip_word_or_number(&mut self) -> Read<()> {
        if self.eat_word("null") || self.eat_word("true") || self.eat_word("false") {
            return Ok(());
        }
        let start = self.clone();
        let wrong = || start.fault("expected a value");
        self.at += usize::from(self.byte() == Some(b'-'));
        let zero = self.byte() == Some(b'0');
        let digits = self.skip_digits();
        if digits == 0 || zero && digits > 1 {
            return Err(wrong());
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            if self.skip_digits() == 0 {
                return Err(wrong());
            }
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            if self.skip_digits() == 0 {
                return Err(wrong());
            }
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        self.at - start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(text: &str) -> Result<String, &'static str> {
        let mut cursor = Cursor::new(text.as_bytes()).unwrap();
        let value = cursor.skip_value().map_err(|fault| fault.reason)?.to_owned();
        cursor.end().map_err(|fault| fault.reason)?;
        Ok(value)
    }

    #[test]
    fn values_are_skipped_whole() {
        for text in [
            "null",
            "[]",
            "{}",
            "-1.5e+3",
            r#"{"a":[1,{"b":"]}\""}],"c":{}}"#,
            "[[[]],[]]",
            "\"\\u00e9\"",
        ] {
            assert_eq!(skip(&format!(" {text} ")).as_deref(), Ok(text));
        }
        for text in [
            "", "[", "{\"a\"}", "[1,]", "{,}", "01", "1.", "nul", "[1 2]", "\"\\x\"", "]", "-",
            "1e", "{1:2}", "\"\n\"",
        ] {
            assert!(skip(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        assert!(skip(&("[".repeat(64) + &"]".repeat(64))).is_ok());
        assert_eq!(skip(&"[".repeat(1_000_000)), Err("nested too deeply"));
    }

    #[test]
    fn numbers() {
        let read = |text: &str| {
            Cursor::new(text.as_bytes()).unwrap().unsigned().map_err(|fault| fault.reason)
        };
        assert_eq!(read("0"), Ok(0));
        assert_eq!(read("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(read("18446744073709551616"), Err("number too large"));
        for wrong in ["", "-1", "1.0", "1e3", "007", "x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_serde(text in "[\\[\\]{}\",:0-9ea.\\\\ntrulfs -]{0,24}") {
            let ours = skip(&text).is_ok();
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            proptest::prop_assert_eq!(ours, theirs, "{}", text);
        }
    }
}
