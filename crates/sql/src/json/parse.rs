//! The reader of JSON text. It never recurses deeper than [`MAX_DEPTH`].

use super::{Json, MAX_DEPTH};

/// Why a text is no JSON, in the words that MySQL has for it, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) why: &'static str,
    pub(crate) at: usize,
    /// The text is fine, but nests deeper than [`MAX_DEPTH`].
    pub(crate) too_deep: bool,
}

pub(crate) fn parse(text: &str) -> Result<Json, Invalid> {
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    if reader.at == text.len() {
        return Err(reader.wrong("The document is empty."));
    }
    let value = reader.value(1)?;
    reader.blanks();
    if reader.at < text.len() {
        return Err(reader.wrong("The document root must not be followed by other values."));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, why: &'static str) -> Invalid {
        Invalid { why, at: self.at, too_deep: false }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, Invalid> {
        if depth > MAX_DEPTH {
            return Err(Invalid { why: "The document nests too deep.", at: self.at, too_deep: true });
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.wrong("Invalid value.")),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, Invalid> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("Invalid value."));
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Json, Invalid> {
        self.at += 1;
        let mut members = Vec::new();
        self.blanks();
        if self.eat(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("Missing a name for object member."));
            }
            let name = self.string()?;
            self.blanks();
            if !self.eat(b':') {
                return Err(self.wrong("Missing a colon after a name of object member."));
            }
            self.blanks();
            members.push((name, self.value(depth + 1)?));
            self.blanks();
            if self.eat(b'}') {
                return Ok(Json::object(members));
            }
            if !self.eat(b',') {
                return Err(self.wrong("Missing a comma or } after an object member."));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, Invalid> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.eat(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            self.blanks();
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.eat(b']') {
                return Ok(Json::Array(items));
            }
            if !self.eat(b',') {
                return Err(self.wrong("Missing a comma or ] after an array element."));
            }
        }
    }

    fn string(&mut self) -> Result<String, Invalid> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(stop) = rest.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < b' ')
            else {
                self.at = start;
                return Err(self.wrong("Missing a closing quotation mark in string."));
            };
            out.push_str(&rest[..stop]);
            self.at += stop;
            match rest.as_bytes()[stop] {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => self.escape(&mut out)?,
                _ => return Err(self.wrong("Invalid encoding in string.")),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), Invalid> {
        let escape = self.text.as_bytes().get(self.at + 1).copied();
        let c = match escape {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex(self.at + 2)?;
                self.at += 6;
                // Two halves of a character beyond 16 bits.
                let c = match first {
                    0xd800..=0xdbff if self.text[self.at..].starts_with("\\u") => {
                        let second = self.hex(self.at + 2)?;
                        self.at += 6;
                        match second {
                            0xdc00..=0xdfff => {
                                char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
                            }
                            _ => None,
                        }
                    }
                    first => char::from_u32(first),
                };
                out.push(c.ok_or_else(|| self.wrong("The surrogate pair in string is invalid."))?);
                return Ok(());
            }
            _ => return Err(self.wrong("Invalid escape character in string.")),
        };
        out.push(c);
        self.at += 2;
        Ok(())
    }

    fn hex(&self, at: usize) -> Result<u32, Invalid> {
        let digits = self.text.get(at..at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.wrong("Incorrect hex digit after \\u escape in string."))
    }

    fn number(&mut self) -> Result<Json, Invalid> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while reader.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                reader.at += 1;
            }
            reader.at - from
        };
        self.eat(b'-');
        // A leading zero stands alone.
        if !self.eat(b'0') && digits(self) == 0 {
            return Err(self.wrong("Invalid value."));
        }
        let mut whole = true;
        if self.eat(b'.') {
            whole = false;
            if digits(self) == 0 {
                return Err(self.wrong("Missing fraction part in number."));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            if !self.eat(b'-') {
                self.eat(b'+');
            }
            if digits(self) == 0 {
                return Err(self.wrong("Missing exponent in number."));
            }
        }
        let text = &self.text[start..self.at];
        if whole {
            if let Ok(value) = text.parse() {
                return Ok(Json::Int(value));
            }
            if let Ok(value) = text.parse() {
                return Ok(Json::UInt(value));
            }
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Json::Double(value)),
            _ => {
                self.at = start;
                Err(self.wrong("Number too big to be stored in double."))
            }
        }
    }
}
