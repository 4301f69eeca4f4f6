//! Titles of result columns: a select item without alias is called what the statement's text says.

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
/// alias; `None` if the text has none. The caller compares their number with what it has parsed.
pub(super) fn titles(text: &str) -> Option<Vec<String>> {
    let mut scanner = Scanner { text, at: 0 };
    let mut depth = 0usize;
    let mut list: Option<usize> = None;
    let mut items = Vec::new();
    loop {
        let start = scanner.at;
        let Some(piece) = scanner.next() else {
            if let Some(from) = list {
                push_item(&mut items, &text[from..]);
            }
            break;
        };
        match piece {
            Piece::Open => depth += 1,
            Piece::Close if depth == 0 => {
                if let Some(from) = list {
                    push_item(&mut items, &text[from..start]);
                }
                break;
            }
            Piece::Close => depth -= 1,
            Piece::Comma | Piece::Semicolon if depth == 0 => {
                if let Some(from) = list {
                    push_item(&mut items, &text[from..start]);
                    list = Some(scanner.at);
                }
                if matches!(piece, Piece::Semicolon) && list.is_some() {
                    break;
                }
            }
            Piece::Word(word) if depth == 0 => {
                let is = |words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
                match list {
                    None if word.eq_ignore_ascii_case("SELECT") => list = Some(scanner.at),
                    None => {}
                    Some(from)
                        if items.is_empty() && text[from..start].trim().is_empty() && is(MODIFIERS) =>
                    {
                        list = Some(scanner.at);
                    }
                    Some(from) if is(ENDS) => {
                        push_item(&mut items, &text[from..start]);
                        break;
                    }
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }
    list.map(|_| items)
}

fn push_item(items: &mut Vec<String>, text: &str) {
    items.push(text.trim().to_string());
}

enum Piece<'a> {
    Open,
    Close,
    Comma,
    Semicolon,
    Word(&'a str),
    Other,
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = &self.text[self.at..];
        let first = rest.chars().next()?;
        let piece = match first {
            '(' => Piece::Open,
            ')' => Piece::Close,
            ',' => Piece::Comma,
            ';' => Piece::Semicolon,
            '\'' | '"' | '`' => {
                self.at += quoted(rest, first);
                return Some(Piece::Other);
            }
            '#' => {
                self.at += rest.find('\n').unwrap_or(rest.len());
                return Some(Piece::Other);
            }
            '-' if rest.starts_with("-- ") || rest.starts_with("--\t") || rest.starts_with("--\n") => {
                self.at += rest.find('\n').unwrap_or(rest.len());
                return Some(Piece::Other);
            }
            '/' if rest.starts_with("/*") => {
                self.at += rest.find("*/").map_or(rest.len(), |end| end + 2);
                return Some(Piece::Other);
            }
            c if c.is_alphanumeric() || matches!(c, '_' | '@' | '$') => {
                let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '@' | '$');
                let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
                self.at += end;
                // `t.order` is a name, not a word of the grammar.
                let named = self.text[..self.at - end].trim_end().ends_with('.');
                return Some(if named { Piece::Other } else { Piece::Word(&rest[..end]) });
            }
            _ => Piece::Other,
        };
        self.at += first.len_utf8();
        Some(piece)
    }
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
            ("select 'a,b', `c,d`, f(1,2) /* , */ , x", vec!["'a,b'", "`c,d`", "f(1,2) /* , */", "x"]),
            ("select t.order, 2 union select 3, 4", vec!["t.order", "2"]),
            ("select 1", vec!["1"]),
            ("select 'it''s', \"a\\\"b\" limit 1", vec!["'it''s'", "\"a\\\"b\""]),
            ("explain select a from t", vec!["a"]),
        ] {
            assert_eq!(titles(text).unwrap(), expected, "{text}");
        }
        assert_eq!(titles("(select 1)"), None);
        assert_eq!(titles("update t set a = 1"), None);
    }
}
