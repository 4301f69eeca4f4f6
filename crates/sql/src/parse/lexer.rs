//! MySQL's lexical rules: text to sqlparser's tokens.
//!
//! Our own because sqlparser's tokenizer differs where it matters: `@name` with dots, `--` that needs a
//! blank after it, executed comments whose positions stay true, escapes of `\a` and `\f`, `||` and
//! `&&`. White space and comments give no token. A token's location is its line and its byte
//! within the line, both from 1.

use memchr::memchr;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Word};

/// Executed comments up to this version are executed: `/*!80000 .. */`.
const SERVER_VERSION: u32 = 80_099;

/// Where and why text is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LexError {
    /// Byte offset in the text.
    pub offset: usize,
    pub expected: &'static str,
}

/// The tokens of one statement's text and the number of its placeholders.
#[derive(Debug)]
pub struct Lexed {
    pub tokens: Vec<TokenWithSpan>,
    pub parameters: usize,
}

pub fn lex(text: &str) -> Result<Lexed, LexError> {
    let mut lexer = Lexer {
        text,
        bytes: text.as_bytes(),
        at: 0,
        line: 1,
        line_start: 0,
        tokens: Vec::with_capacity(text.len() / 4 + 4),
        parameters: 0,
        executed_comment: false,
    };
    lexer.run()?;
    Ok(Lexed { tokens: lexer.tokens, parameters: lexer.parameters })
}

/// The length of the `/*!` or `/*!80000` that `text` begins with; `None`: it begins otherwise, or what the comment
/// contains is not executed.
pub(crate) fn executed_comment(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("/*!")?;
    let digits = rest.bytes().take(6).take_while(u8::is_ascii_digit).count();
    let digits = if digits >= 5 { digits } else { 0 };
    let version: u32 = rest[..digits].parse().unwrap_or(0);
    (version <= SERVER_VERSION).then_some(3 + digits)
}

/// The byte offset of a location that [`lex`] gave.
pub fn offset_of(text: &str, line: u64, column: u64) -> usize {
    let mut start = 0;
    for _ in 1..line {
        match memchr(b'\n', &text.as_bytes()[start..]) {
            Some(at) => start += at + 1,
            None => break,
        }
    }
    (start + column.saturating_sub(1) as usize).min(text.len())
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: u64,
    line_start: usize,
    tokens: Vec<TokenWithSpan>,
    parameters: usize,
    executed_comment: bool,
}

/// Bytes of an unquoted name; everything beyond ASCII is one.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

impl<'a> Lexer<'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn location(&self) -> Location {
        Location { line: self.line, column: (self.at - self.line_start + 1) as u64 }
    }

    /// Moves to `end`, counting the lines passed.
    fn advance_to(&mut self, end: usize) {
        let mut from = self.at;
        while let Some(at) = memchr(b'\n', &self.bytes[from..end]) {
            self.line += 1;
            from += at + 1;
            self.line_start = from;
        }
        self.at = end;
    }

    fn run(&mut self) -> Result<(), LexError> {
        while self.at < self.bytes.len() {
            if self.skip_blank()? {
                continue;
            }
            let start = self.location();
            let token = self.token()?;
            let span = Span::new(start, self.location());
            self.tokens.push(TokenWithSpan { token, span });
        }
        Ok(())
    }

    /// Skips one piece of white space or a comment, if one is here.
    fn skip_blank(&mut self) -> Result<bool, LexError> {
        let byte = self.peek(0);
        match byte {
            b'\n' => {
                self.at += 1;
                self.line += 1;
                self.line_start = self.at;
                Ok(true)
            }
            b' ' | b'\t' | b'\r' | 0x0b | 0x0c => {
                self.at += 1;
                Ok(true)
            }
            b'#' => {
                self.skip_line();
                Ok(true)
            }
            b'-' if self.peek(1) == b'-' && self.peek(2) <= b' ' => {
                self.skip_line();
                Ok(true)
            }
            b'/' if self.peek(1) == b'*' => self.comment().map(|()| true),
            b'*' if self.executed_comment && self.peek(1) == b'/' => {
                self.executed_comment = false;
                self.at += 2;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn skip_line(&mut self) {
        self.at = memchr(b'\n', &self.bytes[self.at..]).map_or(self.bytes.len(), |n| self.at + n);
    }

    fn comment(&mut self) -> Result<(), LexError> {
        if !self.executed_comment
            && let Some(length) = executed_comment(&self.text[self.at..])
        {
            self.executed_comment = true;
            self.at += length;
            return Ok(());
        }
        match memchr::memmem::find(&self.bytes[self.at + 2..], b"*/") {
            Some(length) => {
                self.advance_to(self.at + 2 + length + 2);
                Ok(())
            }
            None => Err(LexError { offset: self.at, expected: "*/" }),
        }
    }

    fn token(&mut self) -> Result<Token, LexError> {
        let byte = self.peek(0);
        // A name may begin with a digit after a period, as in `t.1st`.
        let after_period = matches!(self.tokens.last(), Some(TokenWithSpan { token: Token::Period, .. }))
            && self.at > 0
            && self.bytes[self.at - 1] == b'.';
        match byte {
            b'\'' => Ok(Token::SingleQuotedString(self.string(b'\'', true)?)),
            b'"' => Ok(Token::DoubleQuotedString(self.string(b'"', true)?)),
            b'`' => {
                let value = self.string(b'`', false)?;
                Ok(Token::Word(Word { value, quote_style: Some('`'), keyword: Keyword::NoKeyword }))
            }
            b'n' | b'N' if self.peek(1) == b'\'' => {
                self.at += 1;
                Ok(Token::NationalStringLiteral(self.string(b'\'', true)?))
            }
            b'x' | b'X' if self.peek(1) == b'\'' => {
                self.at += 1;
                self.radix_string(|b| b.is_ascii_hexdigit(), "an even number of hexadecimal digits", 2)
                    .map(Token::HexStringLiteral)
            }
            b'b' | b'B' if self.peek(1) == b'\'' => {
                self.at += 1;
                self.radix_string(|b| matches!(b, b'0' | b'1'), "binary digits", 1)
                    .map(Token::SingleQuotedByteStringLiteral)
            }
            b'0'..=b'9' if !after_period => Ok(self.number_or_name()),
            b'.' if self.peek(1).is_ascii_digit() && !self.after_name() => Ok(self.number()),
            b'@' => self.variable(),
            b'?' => {
                self.at += 1;
                self.parameters += 1;
                Ok(Token::Placeholder(format!("${}", self.parameters)))
            }
            _ if is_name_byte(byte) => Ok(self.name()),
            _ => self.operator(),
        }
    }

    /// Whether the byte before is the end of a name, so that a period parts names.
    fn after_name(&self) -> bool {
        self.at > 0
            && (is_name_byte(self.bytes[self.at - 1]) || self.bytes[self.at - 1] == b'`')
            && matches!(self.tokens.last(), Some(TokenWithSpan { token: Token::Word(_), .. }))
    }

    fn take_while(&self, from: usize, test: impl Fn(u8) -> bool) -> usize {
        from + self.bytes[from..].iter().take_while(|b| test(**b)).count()
    }

    fn name(&mut self) -> Token {
        let end = self.take_while(self.at, is_name_byte);
        let word = Token::make_word(&self.text[self.at..end], None);
        self.at = end;
        word
    }

    fn number_or_name(&mut self) -> Token {
        if self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'b') {
            let hex = self.peek(1) == b'x';
            let end = self.take_while(self.at + 2, |b| {
                if hex { b.is_ascii_hexdigit() } else { matches!(b, b'0' | b'1') }
            });
            let more = end < self.bytes.len() && is_name_byte(self.bytes[end]);
            if end > self.at + 2 && !more {
                let digits = &self.text[self.at + 2..end];
                let odd = hex && digits.len() % 2 == 1;
                let digits = if odd { format!("0{digits}") } else { digits.to_string() };
                self.at = end;
                return match hex {
                    true => Token::HexStringLiteral(digits),
                    false => Token::SingleQuotedByteStringLiteral(digits),
                };
            }
        }
        let end = self.take_while(self.at, is_name_byte);
        let all_digits = self.bytes[self.at..end].iter().all(u8::is_ascii_digit);
        if all_digits || self.exponent_at(self.take_while(self.at, |b| b.is_ascii_digit())).is_some() {
            self.number()
        } else {
            self.name()
        }
    }

    /// The end of an exponent that begins here, if one does and a name does not go on after it.
    fn exponent_at(&self, at: usize) -> Option<usize> {
        let byte = |n: usize| self.bytes.get(n).copied().unwrap_or(0);
        if !matches!(byte(at), b'e' | b'E') {
            return None;
        }
        let digits = if matches!(byte(at + 1), b'+' | b'-') { at + 2 } else { at + 1 };
        let end = self.take_while(digits, |b| b.is_ascii_digit());
        (end > digits && !is_name_byte(byte(end))).then_some(end)
    }

    fn number(&mut self) -> Token {
        let mut end = self.take_while(self.at, |b| b.is_ascii_digit());
        if self.bytes.get(end) == Some(&b'.') {
            end = self.take_while(end + 1, |b| b.is_ascii_digit());
        }
        end = self.exponent_at(end).unwrap_or(end);
        let value = self.text[self.at..end].to_string();
        self.at = end;
        Token::Number(value, false)
    }

    /// `@name`, `@'name'`, `@@name`: words that begin with their `@`.
    fn variable(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        if self.peek(1) == b'@' {
            self.at += 2;
            let name = if self.peek(0) == b'`' {
                self.string(b'`', false)?
            } else {
                let end = self.take_while(self.at, is_name_byte);
                let name = self.text[self.at..end].to_string();
                self.at = end;
                name
            };
            if name.is_empty() {
                return Err(LexError { offset: start, expected: "the name of a system variable" });
            }
            return Ok(word(format!("@@{name}")));
        }
        self.at += 1;
        let name = match self.peek(0) {
            quote @ (b'\'' | b'"') => self.string(quote, true)?,
            b'`' => self.string(b'`', false)?,
            _ => {
                let end = self.take_while(self.at, |b| is_name_byte(b) || b == b'.');
                let name = self.text[self.at..end].to_string();
                self.at = end;
                name
            }
        };
        Ok(word(format!("@{name}")))
    }

    /// A quoted string from its opening quote on; a doubled quote stands for one.
    fn string(&mut self, quote: u8, escapes: bool) -> Result<String, LexError> {
        let start = self.at;
        let mut value = Vec::new();
        let mut at = start + 1;
        loop {
            let rest = &self.bytes[at..];
            let found =
                if escapes { memchr::memchr2(quote, b'\\', rest) } else { memchr::memchr(quote, rest) };
            let Some(length) = found else {
                return Err(LexError { offset: start, expected: "the closing quote" });
            };
            value.extend_from_slice(&rest[..length]);
            at += length;
            if self.bytes[at] == b'\\' {
                let Some(&escaped) = self.bytes.get(at + 1) else {
                    return Err(LexError { offset: start, expected: "the closing quote" });
                };
                match escaped {
                    b'0' => value.push(0),
                    b'b' => value.push(8),
                    b'n' => value.push(b'\n'),
                    b'r' => value.push(b'\r'),
                    b't' => value.push(b'\t'),
                    b'Z' => value.push(0x1a),
                    // LIKE needs to see that these were escaped.
                    b'%' | b'_' => value.extend_from_slice(&[b'\\', escaped]),
                    other => value.push(other),
                }
                at += 2;
            } else if self.bytes.get(at + 1) == Some(&quote) {
                value.push(quote);
                at += 2;
            } else {
                self.advance_to(at + 1);
                break;
            }
        }
        // Invariant: pieces of valid UTF-8 are cut at ASCII bytes only, so the whole is valid.
        String::from_utf8(value).map_err(|_| LexError { offset: start, expected: "valid UTF-8" })
    }

    fn radix_string(
        &mut self,
        digit: impl Fn(u8) -> bool,
        expected: &'static str,
        multiple: usize,
    ) -> Result<String, LexError> {
        let start = self.at;
        let end = self.take_while(start + 1, digit);
        if self.bytes.get(end) != Some(&b'\'') || !(end - start - 1).is_multiple_of(multiple) {
            return Err(LexError { offset: start, expected });
        }
        self.at = end + 1;
        Ok(self.text[start + 1..end].to_string())
    }

    fn operator(&mut self) -> Result<Token, LexError> {
        let (token, length) = match (self.peek(0), self.peek(1), self.peek(2)) {
            (b'<', b'=', b'>') => (Token::Spaceship, 3),
            (b'-', b'>', b'>') => (Token::LongArrow, 3),
            (b'<', b'=', _) => (Token::LtEq, 2),
            (b'<', b'>', _) | (b'!', b'=', _) => (Token::Neq, 2),
            (b'<', b'<', _) => (Token::ShiftLeft, 2),
            (b'>', b'>', _) => (Token::ShiftRight, 2),
            (b'>', b'=', _) => (Token::GtEq, 2),
            // PIPES_AS_CONCAT is not in the default sql_mode.
            (b'|', b'|', _) => (keyword("OR", Keyword::OR), 2),
            (b'&', b'&', _) => (keyword("AND", Keyword::AND), 2),
            (b':', b'=', _) => (Token::Assignment, 2),
            (b':', b':', _) => (Token::DoubleColon, 2),
            (b'-', b'>', _) => (Token::Arrow, 2),
            (b'=', ..) => (Token::Eq, 1),
            (b'<', ..) => (Token::Lt, 1),
            (b'>', ..) => (Token::Gt, 1),
            (b'+', ..) => (Token::Plus, 1),
            (b'-', ..) => (Token::Minus, 1),
            (b'*', ..) => (Token::Mul, 1),
            (b'/', ..) => (Token::Div, 1),
            (b'%', ..) => (Token::Mod, 1),
            (b'&', ..) => (Token::Ampersand, 1),
            (b'|', ..) => (Token::Pipe, 1),
            (b'^', ..) => (Token::Caret, 1),
            (b'~', ..) => (Token::Tilde, 1),
            (b'!', ..) => (Token::ExclamationMark, 1),
            (b'(', ..) => (Token::LParen, 1),
            (b')', ..) => (Token::RParen, 1),
            (b'{', ..) => (Token::LBrace, 1),
            (b'}', ..) => (Token::RBrace, 1),
            (b',', ..) => (Token::Comma, 1),
            (b';', ..) => (Token::SemiColon, 1),
            (b'.', ..) => (Token::Period, 1),
            (b':', ..) => (Token::Colon, 1),
            _ => return Err(LexError { offset: self.at, expected: "a word, a literal or an operator" }),
        };
        self.at += length;
        Ok(token)
    }
}

fn word(value: String) -> Token {
    Token::Word(Word { value, quote_style: None, keyword: Keyword::NoKeyword })
}

fn keyword(value: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: value.to_string(), quote_style: None, keyword })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Vec<String> {
        lex(text).unwrap().tokens.iter().map(|t| format!("{:?}", t.token)).collect()
    }

    fn words(text: &str) -> Vec<String> {
        lex(text).unwrap().tokens.iter().map(|t| t.token.to_string()).collect()
    }

    #[test]
    fn names_numbers_and_variables() {
        assert_eq!(
            words("1 1.5 .5 1e5 1.e-3 2nd t.1st 1e5x"),
            ["1", "1.5", ".5", "1e5", "1.e-3", "2nd", "t", ".", "1st", "1e5x"]
        );
        assert_eq!(
            words("@a.b @@session.x @'c d' u@h 0xAF 0b10"),
            ["@a.b", "@@session", ".", "x", "@c d", "u", "@h", "X'AF'", "B'10'"]
        );
        assert_eq!(words("a.b.c t.5"), ["a", ".", "b", ".", "c", "t", ".", "5"]);
        assert_eq!(words("`a``b` caf\u{e9}"), ["`a`b`", "caf\u{e9}"]);
    }

    #[test]
    fn strings_and_their_escapes() {
        assert_eq!(
            show(r#"'a''b\'c\n\%\_\a' "d""e" N'f'"#),
            [
                r#"SingleQuotedString("a'b'c\n\\%\\_a")"#,
                r#"DoubleQuotedString("d\"e")"#,
                r#"NationalStringLiteral("f")"#,
            ]
        );
        assert_eq!(lex("select 'abc\\'").unwrap_err(), LexError { offset: 7, expected: "the closing quote" });
        assert!(lex("x'abc'").is_err());
    }

    #[test]
    fn comments() {
        assert_eq!(words("1--1 -- x\n# y\n+ /* z\n */2"), ["1", "-", "-", "1", "+", "2"]);
        assert_eq!(words("/*!40101 SET */ x /*!99999 no */ /*! y */"), ["SET", "x", "y"]);
        assert!(lex("/* open").is_err());
    }

    #[test]
    fn locations_count_lines_and_bytes() {
        let text = "a\n  '\n' b";
        let lexed = lex(text).unwrap();
        let last = lexed.tokens.last().unwrap().span.start;
        assert_eq!((last.line, last.column), (3, 3));
        assert_eq!(offset_of(text, last.line, last.column), text.len() - 1);
        assert_eq!(lex("? + ?").unwrap().parameters, 2);
    }
}
