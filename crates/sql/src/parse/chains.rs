//! Long chains of operators. `a + b + c ..` becomes a tree as deep as the chain is long, and everything
//! that walks it, even dropping it, goes as deep. So chains are measured before they are parsed:
//! those of AND, OR and XOR, which programs write by the thousand, are then built as balanced
//! trees; others that long are refused.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Trees up to this deep are walked without harm.
pub(super) const LONGEST: u32 = 2000;
/// A level of these takes more stack.
pub(super) const MOST_UNIONS: u32 = 500;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chains {
    Short,
    /// AND, OR or XOR many times: to be balanced.
    Logical,
    TooLong,
    TooManyUnions,
}

/// Counts since the last comma within one pair of brackets, or one CASE.
#[derive(Default, Clone, Copy)]
struct Level {
    is_case: bool,
    logical: u32,
    /// Since the last AND, OR and XOR too.
    others: u32,
    /// Since the last OR and XOR too: their own AND does not end them.
    betweens: u32,
    /// Since the opening bracket.
    unions: u32,
}

pub(super) fn measure(tokens: &[TokenWithSpan]) -> Chains {
    if tokens.len() < MOST_UNIONS as usize {
        return Chains::Short;
    }
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut logical = false;
    for token in tokens {
        match &token.token {
            Token::LParen => {
                outer.push(level);
                level = Level::default();
            }
            Token::RParen => {
                while level.is_case {
                    level = outer.pop().unwrap_or_default();
                }
                level = outer.pop().unwrap_or_default();
            }
            Token::Comma => {
                level = Level { is_case: level.is_case, unions: level.unions, ..Level::default() }
            }
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::CASE => {
                    outer.push(level);
                    level = Level { is_case: true, ..Level::default() };
                }
                Keyword::END if level.is_case => level = outer.pop().unwrap_or_default(),
                Keyword::OR | Keyword::XOR => {
                    level.logical += 1;
                    (level.others, level.betweens) = (0, 0);
                }
                Keyword::AND => {
                    level.logical += 1;
                    level.others = 0;
                }
                Keyword::BETWEEN => level.betweens += 1,
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => level.unions += 1,
                Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::REGEXP
                | Keyword::RLIKE
                | Keyword::MEMBER
                | Keyword::DIV => level.others += 1,
                _ if word.value.eq_ignore_ascii_case("MOD") => level.others += 1,
                _ => {}
            },
            Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period => {}
            _ => level.others += 1,
        }
        if level.others > LONGEST || level.betweens > LONGEST {
            return Chains::TooLong;
        }
        if level.unions > MOST_UNIONS {
            return Chains::TooManyUnions;
        }
        logical |= level.logical > LONGEST;
    }
    if logical { Chains::Logical } else { Chains::Short }
}

/// How often a part of the text may be read.
pub(super) const MOST_READINGS: u64 = 1_000;

/// How often sqlparser reads what is deepest. Brackets behind FROM and JOIN hold a query or a join, and it tries
/// both, with each bracket of `((SELECT ..) a JOIN b)` and, within each other, with every one of these.
pub(super) fn readings(tokens: &[TokenWithSpan]) -> u64 {
    let keyword = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let is = |at: usize, wanted: &Token| tokens.get(at).is_some_and(|token| token.token == *wanted);
    let (mut outer, mut times, mut most) = (Vec::new(), 1u64, 1u64);
    for at in 0..tokens.len() {
        if is(at, &Token::RParen) {
            times = outer.pop().unwrap_or(1);
        }
        if !is(at, &Token::LParen) {
            continue;
        }
        outer.push(times);
        let before = at.checked_sub(1);
        let begins = before.is_some_and(|before| {
            is(before, &Token::Comma)
                || matches!(keyword(before), Keyword::FROM | Keyword::JOIN | Keyword::STRAIGHT_JOIN)
        });
        if begins {
            let brackets = (at..tokens.len()).take_while(|at| is(*at, &Token::LParen)).count();
            let is_query = matches!(
                keyword(at + brackets),
                Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE
            );
            if is_query {
                times = times.saturating_mul(brackets as u64);
                most = most.max(times);
            }
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{lexer::lex, parse_one};

    fn chain(link: &str, times: usize) -> String {
        format!("SELECT {}", vec!["a"; times].join(link))
    }

    fn measured(text: &str) -> Chains {
        measure(&lex(text).unwrap().tokens)
    }

    #[test]
    fn chains_are_measured() {
        assert_eq!(measured(&chain(" + ", 3000)), Chains::TooLong);
        assert_eq!(measured(&chain(" or ", 3000)), Chains::Logical);
        assert_eq!(measured(&chain(" = 1 or b is null or ", 3000)), Chains::Logical);
        assert_eq!(measured(&chain(" between 1 and ", 3000)), Chains::TooLong);
        assert_eq!(measured(&chain(" + case when a or b then 1 end + ", 3000)), Chains::TooLong);
        assert_eq!(measured(&chain(" + b, ", 3000)), Chains::Short);
        assert_eq!(measured(&chain(" + (b + c) + ", 900)), Chains::Short);
        assert_eq!(measured(&chain(", b union select ", 501)), Chains::Short);
        assert_eq!(measured(&chain(", b union select ", 502)), Chains::TooManyUnions);
    }

    #[test]
    fn what_is_read_several_times() {
        let readings = |text: &str| readings(&lex(text).unwrap().tokens);
        for (text, times) in [
            ("SELECT ((1)), (((SELECT 2))), 3 IN ((SELECT 4))", 3),
            ("SELECT * FROM (SELECT * FROM (SELECT 1) a) b", 1),
            ("SELECT * FROM ((SELECT 1) a JOIN t), ((SELECT 1) b JOIN t)", 2),
            ("SELECT * FROM ((SELECT * FROM (((SELECT 1) a JOIN t))) b JOIN t)", 6),
            ("SELECT * FROM ((((a JOIN b))))", 1),
        ] {
            assert_eq!(readings(text), times, "{text}");
        }
    }

    #[test]
    fn no_length_overflows_the_stack() {
        for link in [" OR ", " AND ", " XOR ", " = 1 OR b BETWEEN 2 AND ", " && "] {
            assert!(parse_one(&chain(link, 50_000)).is_ok(), "{link}");
        }
        for link in [" + ", " IS NULL = ", " DIV ", " -> ", " UNION SELECT "] {
            let error = parse_one(&chain(link, 50_000)).unwrap_err();
            assert!(error.message.contains("make it flatter"), "{link}: {error}");
        }
        for open in ["(", "-", "NOT ", "CASE WHEN ", "f(", "(SELECT ", "INTERVAL "] {
            assert!(parse_one(&format!("SELECT {}", open.repeat(100_000))).is_err(), "{open}");
        }
        assert!(
            parse_one(&format!("INSERT INTO t VALUES {}", vec!["(1, -2, 'x')"; 100_000].join(","))).is_ok()
        );
    }
}
