//! Titles of result columns: a select item without alias is called what the statement's text says.

use crate::parse::lexer::executed_comment;

/// Words that end a select list.
const ENDS: &[&str] = &[
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "MINUS",
    "FOR",
    "LOCK",
    "INTO",
    "WINDOW",
    "PROCEDURE",
    "ON",
];
/// Words between SELECT and the first item.
const MODIFIERS: &[&str] = &[
    "ALL",
    "DISTINCT",
    "DISTINCTROW",
    "HIGH_PRIORITY",
    "STRAIGHT_JOIN",
    "SQL_SMALL_RESULT",
    "SQL_BIG_RESULT",
    "SQL_BUFFER_RESULT",
    "SQL_NO_CACHE",
    "SQL_CACHE",
    "SQL_CALC_FOUND_ROWS",
];

/// The texts of the items of the first SELECT that stands outside of parentheses, each whole with its
/// alias, from its first token to its last; `None` if the text has none. The caller compares their number
/// with what it has parsed.
pub(super) fn titles(text: &str) -> Option<Vec<String>> {
    let mut scanner = Scanner { text, at: 0, executed_comment: false };
    let mut depth = 0usize;
    let mut list: Option<List> = None;
    loop {
        let start = scanner.at;
        let Some(piece) = scanner.next() else { break };
        match piece {
            Piece::Open => depth += 1,
            Piece::Close if depth == 0 => break,
            Piece::Close => depth -= 1,
            Piece::Semicolon if depth == 0 && list.is_some() => break,
            Piece::Comma if depth == 0 => {
                if let Some(list) = &mut list {
                    list.end_item();
                }
                continue;
            }
            Piece::Word(word) if depth == 0 => {
                let is = |words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
                match &list {
                    None if word.eq_ignore_ascii_case("SELECT") => {
                        list = Some(List::default());
                        continue;
                    }
                    Some(list) if list.is_empty() && is(MODIFIERS) => continue,
                    Some(_) if is(ENDS) => break,
                    _ => {}
                }
            }
            _ => {}
        }
        if let Some(list) = &mut list {
            list.push(&piece, &text[start..scanner.at]);
        }
    }
    let mut list = list?;
    list.end_item();
    Some(list.items)
}

/// Items while they are read.
#[derive(Default)]
struct List {
    items: Vec<String>,
    /// The item that is read, up to its last token so far.
    item: String,
    /// What stands behind that token, which is part of the item if another token follows.
    behind: String,
}

impl List {
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.item.is_empty()
    }

    fn push(&mut self, piece: &Piece<'_>, text: &str) {
        match piece {
            Piece::CommentBound => {}
            Piece::Blank if self.item.is_empty() => {}
            Piece::Blank => self.behind.push_str(text),
            _ => {
                self.item.push_str(&std::mem::take(&mut self.behind));
                self.item.push_str(text);
            }
        }
    }

    fn end_item(&mut self) {
        self.behind.clear();
        self.items.push(std::mem::take(&mut self.item));
    }
}

enum Piece<'a> {
    Open,
    Close,
    Comma,
    Semicolon,
    Word(&'a str),
    /// White space or a comment.
    Blank,
    /// Begin or end of an executed comment, which is no part of a title.
    CommentBound,
    Other,
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    executed_comment: bool,
}

impl<'a> Scanner<'a> {
    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = &self.text[self.at..];
        let first = rest.chars().next()?;
        let (piece, length) = match first {
            '(' => (Piece::Open, 1),
            ')' => (Piece::Close, 1),
            ',' => (Piece::Comma, 1),
            ';' => (Piece::Semicolon, 1),
            '\'' | '"' | '`' => (Piece::Other, quoted(rest, first)),
            '#' => (Piece::Blank, line(rest)),
            '-' if rest.starts_with("--") && rest.as_bytes().get(2).is_none_or(|byte| *byte <= b' ') => {
                (Piece::Blank, line(rest))
            }
            '*' if self.executed_comment && rest.starts_with("*/") => {
                self.executed_comment = false;
                (Piece::CommentBound, 2)
            }
            '/' if rest.starts_with("/*") => {
                match executed_comment(rest).filter(|_| !self.executed_comment) {
                    Some(length) => {
                        self.executed_comment = true;
                        (Piece::CommentBound, length)
                    }
                    None => (Piece::Blank, rest[2..].find("*/").map_or(rest.len(), |end| end + 4)),
                }
            }
            c if c.is_whitespace() => (Piece::Blank, c.len_utf8()),
            c if is_part_of_word(c) => {
                let length = rest.find(|c| !is_part_of_word(c)).unwrap_or(rest.len());
                // `t.order` is a name, not a word of the grammar.
                let named = self.text[..self.at].trim_end().ends_with('.');
                (if named { Piece::Other } else { Piece::Word(&rest[..length]) }, length)
            }
            c => (Piece::Other, c.len_utf8()),
        };
        self.at += length;
        Some(piece)
    }
}

fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '@' | '$')
}

/// Length of what is left of a line, without its end.
fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Length of a quoted text with its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote != '`' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + c.len_utf8();
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::titles;

    #[test]
    fn items_of_the_first_select() {
        for (text, expected) in [
            ("select 1+1, count( * ) from t", vec!["1+1", "count( * )"]),
            ("SELECT DISTINCT a, extract(year from d) FROM t;", vec!["a", "extract(year from d)"]),
            ("with x as (select 1, 2) select a+1 from x", vec!["a+1"]),
            ("select 'a,b', `c,d`, f(1,2) /* , */ , x", vec!["'a,b'", "`c,d`", "f(1,2)", "x"]),
            ("select t.order, 2 union select 3, 4", vec!["t.order", "2"]),
            ("select 1", vec!["1"]),
            ("select 'it''s', \"a\\\"b\" limit 1", vec!["'it''s'", "\"a\\\"b\""]),
            ("explain select a from t", vec!["a"]),
            ("SELECT COUNT(*) /* n */ FROM t", vec!["COUNT(*)"]),
            ("SELECT /* c */ 1 -- x", vec!["1"]),
            (
                "select 1 /* a */ + /* b */ 2 /* c */, /* d */ 3 # e\n, 4",
                vec!["1 /* a */ + /* b */ 2", "3", "4"],
            ),
            ("select /* x */ distinct /*!40001 sql_no_cache */ /*/ , */ 1 --", vec!["1"]),
            ("select /*!1 + */ 2, 1 /*! + 2 */ from t", vec!["1 +  2", "1  + 2"]),
            ("select 1 /*!99999 , 2 */ from t", vec!["1"]),
        ] {
            assert_eq!(titles(text).unwrap(), expected, "{text}");
        }
        assert_eq!(titles("(select 1)"), None);
        assert_eq!(titles("update t set a = 1"), None);
    }
}
