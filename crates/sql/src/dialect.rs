//! sqlparser's MySQL dialect with MySQL's own precedences and the expressions that it lacks.
//!
//! From loose to tight: `OR`, `XOR`, `AND`, `NOT`, comparisons and `IS`, the predicates `IN`, `BETWEEN`,
//! `LIKE`, `REGEXP`, then `|`, `&`, shifts, `+ -`, `* / % DIV MOD`, `^`, unary operators, `::`, `->`.

use crate::charset::{Known, known};
use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, Interval, ObjectName, UnaryOperator, Value,
};
use sqlparser::dialect::{Dialect, MySqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Word};
use std::any::TypeId;
use std::cell::Cell;

#[derive(Debug, Clone)]
pub struct PandoDialect {
    /// Build chains of AND, OR and XOR as balanced trees.
    balance: bool,
    /// What is left of the steps that reading may take. sqlparser tries one way after the other where a word
    /// means several things; within each other that doubles with every level, most of all where the text is
    /// wrong at its end.
    steps: Cell<usize>,
}

/// Steps that reading may take, and more of them for each token. Texts that people and programs write take
/// three or four for a token.
const STEPS: usize = 10_000;
const STEPS_OF_TOKEN: usize = 100;

const OR: u8 = 5;
const XOR: u8 = 7;
const AND: u8 = 10;
const NOT: u8 = 15;
const COMPARISON: u8 = 20;
const PREDICATE: u8 = 21;
const BIT_OR: u8 = 22;
const BIT_AND: u8 = 23;
const SHIFT: u8 = 24;
const PLUS: u8 = 30;
const TIMES: u8 = 40;
const BIT_XOR: u8 = 42;
const UNARY: u8 = 45;
const CAST: u8 = 50;
const ARROW: u8 = 60;

/// Units of INTERVAL, EXTRACT and TIMESTAMPADD that sqlparser has no word for.
const COMPOSITE_UNITS: &[&str] = &[
    "SECOND_MICROSECOND",
    "MINUTE_MICROSECOND",
    "MINUTE_SECOND",
    "HOUR_MICROSECOND",
    "HOUR_SECOND",
    "HOUR_MINUTE",
    "DAY_MICROSECOND",
    "DAY_SECOND",
    "DAY_MINUTE",
    "DAY_HOUR",
    "YEAR_MONTH",
];

macro_rules! like_mysql {
    ($($name:ident),* $(,)?) => { $(fn $name(&self) -> bool { MySqlDialect {}.$name() })* };
}

macro_rules! yes {
    ($($name:ident),* $(,)?) => { $(fn $name(&self) -> bool { true })* };
}

impl PandoDialect {
    /// To read so many tokens.
    pub fn new(tokens: usize, balance: bool) -> PandoDialect {
        PandoDialect {
            balance,
            steps: Cell::new(tokens.saturating_mul(STEPS_OF_TOKEN).saturating_add(STEPS)),
        }
    }

    /// Whether reading ended because it took too many steps.
    pub fn is_spent(&self) -> bool {
        self.steps.get() == 0
    }

    /// Counts a step. The error is the one that sqlparser never tries another way after.
    fn step(&self) -> Result<(), ParserError> {
        self.steps.set(self.steps.get().saturating_sub(1));
        if self.is_spent() { Err(ParserError::RecursionLimitExceeded) } else { Ok(()) }
    }
}

impl Dialect for PandoDialect {
    /// sqlparser asks in places whether the dialect is MySQL's; it is.
    fn dialect(&self) -> TypeId {
        TypeId::of::<MySqlDialect>()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        MySqlDialect {}.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        MySqlDialect {}.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    like_mysql!(
        supports_string_literal_backslash_escape,
        supports_string_literal_concatenation,
        ignores_wildcard_escapes,
        supports_numeric_prefix,
        supports_bitwise_shift_operators,
        supports_multiline_comment_hints,
        require_interval_qualifier,
        supports_limit_comma,
        supports_create_table_select,
        supports_insert_set,
        supports_user_host_grantee,
        supports_table_hints,
        requires_single_line_comment_whitespace,
        supports_match_against,
        supports_select_modifiers,
        supports_set_names,
        supports_comma_separated_set_assignments,
        supports_update_order_by,
        supports_data_type_signed_suffix,
        supports_cross_join_constraint,
        supports_constraint_keyword_without_name,
        supports_key_column_option,
    );
    yes!(
        supports_group_by_with_modifier,
        allow_extract_custom,
        supports_window_clause_named_window_reference,
        supports_parens_around_table_factor,
        supports_left_associative_joins_without_parens,
    );

    /// Behind a list without FROM these begin a locking clause, or ON DUPLICATE KEY UPDATE.
    fn is_column_alias(&self, keyword: &Keyword, parser: &mut Parser) -> bool {
        !matches!(keyword, Keyword::FOR | Keyword::LOCK | Keyword::ON)
            && MySqlDialect {}.is_column_alias(keyword, parser)
    }

    fn is_table_factor_alias(&self, explicit: bool, keyword: &Keyword, parser: &mut Parser) -> bool {
        // LOCK IN SHARE MODE ends the query.
        *keyword != Keyword::LOCK && MySqlDialect {}.is_table_factor_alias(explicit, keyword, parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            Precedence::Period => 100,
            Precedence::Colon | Precedence::PgOther => ARROW,
            Precedence::DoubleColon => CAST,
            Precedence::AtTz => UNARY,
            Precedence::Caret => BIT_XOR,
            Precedence::MulDivModOp => TIMES,
            Precedence::PlusMinus => PLUS,
            Precedence::Ampersand => BIT_AND,
            Precedence::Pipe => BIT_OR,
            Precedence::Between | Precedence::Like => PREDICATE,
            Precedence::Eq | Precedence::Is => COMPARISON,
            Precedence::UnaryNot => NOT,
            Precedence::And => AND,
            Precedence::Xor => XOR,
            Precedence::Or => OR,
        }
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        if let Err(spent) = self.step() {
            return Some(Err(spent));
        }
        Some(Ok(match &parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::OR => OR,
                Keyword::XOR => XOR,
                Keyword::AND => AND,
                Keyword::IS => COMPARISON,
                Keyword::IN
                | Keyword::BETWEEN
                | Keyword::LIKE
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::MEMBER => PREDICATE,
                Keyword::NOT => match &parser.peek_nth_token_ref(1).token {
                    Token::Word(Word {
                        keyword:
                            Keyword::IN | Keyword::BETWEEN | Keyword::LIKE | Keyword::RLIKE | Keyword::REGEXP,
                        ..
                    }) => PREDICATE,
                    _ => 0,
                },
                Keyword::DIV => TIMES,
                _ if word.value.eq_ignore_ascii_case("MOD") => TIMES,
                _ => 0,
            },
            Token::Period => 100,
            Token::Eq
            | Token::Assignment
            | Token::Spaceship
            | Token::Lt
            | Token::LtEq
            | Token::Gt
            | Token::GtEq
            | Token::Neq => COMPARISON,
            Token::Pipe => BIT_OR,
            Token::Ampersand => BIT_AND,
            Token::ShiftLeft | Token::ShiftRight => SHIFT,
            Token::Plus | Token::Minus => PLUS,
            Token::Mul | Token::Div | Token::Mod => TIMES,
            Token::Caret => BIT_XOR,
            Token::DoubleColon => CAST,
            Token::Arrow | Token::LongArrow => ARROW,
            _ => 0,
        }))
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        left: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if let Some(matched) = regexp(parser, left) {
            return Some(matched);
        }
        let op = match &parser.peek_token_ref().token {
            Token::Word(word) if word.keyword == Keyword::DIV => BinaryOperator::MyIntegerDivide,
            Token::Word(word) if self.balance => match word.keyword {
                Keyword::AND => return Some(chain(parser, left, Keyword::AND, BinaryOperator::And)),
                Keyword::OR => return Some(chain(parser, left, Keyword::OR, BinaryOperator::Or)),
                Keyword::XOR => return Some(chain(parser, left, Keyword::XOR, BinaryOperator::Xor)),
                _ if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("MOD") => {
                    BinaryOperator::Modulo
                }
                _ => return None,
            },
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("MOD") => {
                BinaryOperator::Modulo
            }
            Token::Eq | Token::Neq | Token::Lt | Token::LtEq | Token::Gt | Token::GtEq => {
                return quantified(parser, left);
            }
            Token::DoubleColon => return Some(json_key(parser, left)),
            _ => return None,
        };
        parser.advance_token();
        Some(parser.parse_subexpr(precedence).map(|right| Expr::BinaryOp {
            left: Box::new(left.clone()),
            op,
            right: Box::new(right),
        }))
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if let Err(spent) = self.step() {
            return Some(Err(spent));
        }
        match &parser.peek_token_ref().token {
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Placeholder(_) => Some(parser.parse_value().map(Expr::Value)),
            Token::Minus => Some(unary(parser, UnaryOperator::Minus)),
            Token::Plus => Some(unary(parser, UnaryOperator::Plus)),
            Token::Tilde => Some(unary(parser, UnaryOperator::BitwiseNot)),
            Token::ExclamationMark => Some(unary(parser, UnaryOperator::Not)),
            Token::Word(word) if word.quote_style.is_none() => prefix_word(parser),
            _ => None,
        }
    }
}

/// `[NOT] RLIKE pattern` and `[NOT] REGEXP pattern`, of which sqlparser drops a pattern NULL. `None`: something else.
fn regexp(parser: &mut Parser, left: &Expr) -> Option<Result<Expr, ParserError>> {
    let keywords = parser.peek_tokens_ref::<2>().map(|token| match &token.token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    });
    let (negated, word) = match keywords {
        [Keyword::NOT, word] => (true, word),
        [word, _] => (false, word),
    };
    if !matches!(word, Keyword::RLIKE | Keyword::REGEXP) {
        return None;
    }
    (0..=usize::from(negated)).for_each(|_| parser.advance_token());
    Some(parser.parse_subexpr(PREDICATE).map(|pattern| Expr::RLike {
        negated,
        expr: Box::new(left.clone()),
        pattern: Box::new(pattern),
        regexp: word == Keyword::REGEXP,
    }))
}

/// `= ALL (query)` and the like, where the query may begin with a bracket of its own. `None`: something else.
fn quantified(parser: &mut Parser, left: &Expr) -> Option<Result<Expr, ParserError>> {
    let [op, quantifier, bracket] = parser.peek_tokens_ref::<3>();
    let compare_op = match op.token {
        Token::Eq => BinaryOperator::Eq,
        Token::Neq => BinaryOperator::NotEq,
        Token::Lt => BinaryOperator::Lt,
        Token::LtEq => BinaryOperator::LtEq,
        Token::Gt => BinaryOperator::Gt,
        Token::GtEq => BinaryOperator::GtEq,
        _ => return None,
    };
    let (Token::Word(word), Token::LParen) = (&quantifier.token, &bracket.token) else { return None };
    let keyword = word.keyword;
    if word.quote_style.is_some() || !matches!(keyword, Keyword::ALL | Keyword::ANY | Keyword::SOME) {
        return None;
    }
    let parsed = parser.maybe_parse(|parser| {
        (0..3).for_each(|_| parser.advance_token());
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        Ok(query)
    });
    let query = match parsed {
        Ok(query) => query?,
        Err(error) => return Some(Err(error)),
    };
    let (left, right) = (Box::new(left.clone()), Box::new(Expr::Subquery(query)));
    Some(Ok(match keyword {
        Keyword::ALL => Expr::AllOp { left, compare_op, right },
        _ => Expr::AnyOp { left, compare_op, right, is_some: keyword == Keyword::SOME },
    }))
}

/// `document::name`, `document::$name` for a text and `document::%name` for a number: calls of JSON_EXTRACT_JSON and
/// its kin, of which one takes all names of a chain.
fn json_key(parser: &mut Parser, left: &Expr) -> Result<Expr, ParserError> {
    parser.advance_token();
    let number = parser.consume_token(&Token::Mod);
    let mut function = if number { "JSON_EXTRACT_DOUBLE" } else { "JSON_EXTRACT_JSON" };
    let mut key = parser.parse_identifier()?;
    if key.quote_style.is_none()
        && !number
        && let Some(name) = key.value.strip_prefix('$')
    {
        function = "JSON_EXTRACT_STRING";
        key = if name.is_empty() { parser.parse_identifier()? } else { Ident::new(name) };
    }
    let (document, mut args) = match left {
        Expr::Function(chain) if chain.name.to_string() == "JSON_EXTRACT_JSON" => match &chain.args {
            FunctionArguments::List(list) => (None, list.args.clone()),
            _ => (Some(left.clone()), Vec::new()),
        },
        other => (Some(other.clone()), Vec::new()),
    };
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    args.extend(document.map(argument));
    args.push(argument(Expr::value(Value::SingleQuotedString(key.value))));
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    Ok(call_of(ObjectName::from(vec![Ident::new(function)]), FunctionArguments::List(list)))
}

/// All operands of a chain of one of AND, OR and XOR. These may be grouped in any way.
fn chain(
    parser: &mut Parser,
    left: &Expr,
    keyword: Keyword,
    op: BinaryOperator,
) -> Result<Expr, ParserError> {
    let precedence = match keyword {
        Keyword::AND => AND,
        Keyword::XOR => XOR,
        _ => OR,
    };
    let mut operands = vec![left.clone()];
    while parser.parse_keyword(keyword) {
        operands.push(parser.parse_subexpr(precedence)?);
    }
    // Neighbours are joined, then the pairs, until one is left; their order stays.
    while operands.len() > 1 {
        let mut joined = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            joined.push(match rest.next() {
                Some(right) => {
                    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
                }
                None => left,
            });
        }
        operands = joined;
    }
    // Invariant: there is at least the operand that the chain began with.
    Ok(operands.pop().unwrap_or_else(|| left.clone()))
}

fn unary(parser: &mut Parser, op: UnaryOperator) -> Result<Expr, ParserError> {
    parser.advance_token();
    Ok(Expr::UnaryOp { op, expr: Box::new(parser.parse_subexpr(UNARY)?) })
}

/// Expressions that begin with a word and that sqlparser reads otherwise than MySQL, or slowly.
fn prefix_word(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let [first, second] = parser.peek_tokens_ref::<2>();
    let Token::Word(word) = &first.token else { return None };
    let next_is_text = matches!(second.token, Token::SingleQuotedString(_) | Token::DoubleQuotedString(_));
    let next_is_bytes =
        matches!(second.token, Token::HexStringLiteral(_) | Token::SingleQuotedByteStringLiteral(_));
    let next_is_call = second.token == Token::LParen;
    match word.keyword {
        Keyword::INTERVAL => interval(parser),
        _ if next_is_call && word.value.eq_ignore_ascii_case("ROW") => {
            parser.advance_token();
            Some(tuple(parser))
        }
        Keyword::CHAR if next_is_call && parser.peek_nth_token_ref(2).token != Token::RParen => {
            Some(char_call(parser))
        }
        Keyword::NOT => {
            parser.advance_token();
            Some(parser.parse_not())
        }
        Keyword::CASE => {
            parser.advance_token();
            Some(parser.parse_case_expr())
        }
        Keyword::CAST if next_is_call => {
            parser.advance_token();
            Some(cast_call(parser))
        }
        Keyword::CONVERT if next_is_call => {
            parser.advance_token();
            Some(parser.parse_convert_expr(false))
        }
        _ if !next_is_call && never_begins_an_expression(word) => {
            Some(parser.expected_ref("an expression", parser.peek_token_ref()))
        }
        Keyword::BINARY => {
            parser.advance_token();
            Some(parser.parse_subexpr(UNARY).map(as_binary))
        }
        Keyword::CURRENT_USER | Keyword::NoKeyword if !next_is_call && is_bare_function(&word.value) => {
            let name = ObjectName::from(vec![word.to_ident(first.span)]);
            parser.advance_token();
            Some(Ok(bare_call(name)))
        }
        Keyword::NoKeyword if next_is_text && word.value.starts_with('_') => introducer(parser),
        Keyword::NoKeyword if next_is_bytes && is_introducer(&word.value) => {
            let prefix = word.to_ident(first.span);
            parser.advance_token();
            Some(
                parser
                    .parse_value()
                    .map(|value| Expr::Prefixed { prefix, value: Box::new(Expr::Value(value)) }),
            )
        }
        Keyword::NoKeyword if !next_is_text && !next_is_call => {
            let name = word.to_ident(first.span);
            parser.advance_token();
            Some(Ok(Expr::Identifier(name)))
        }
        _ => None,
    }
}

/// `ROW(a, b)` is `(a, b)`.
fn tuple(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let values = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Tuple(values))
}

/// `CHAR(n, ..)`; `CHAR(n, .. USING charset)` is `CONVERT(CHAR(n, ..) USING charset)`.
fn char_call(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.advance_token();
    parser.expect_token(&Token::LParen)?;
    let values = parser.parse_comma_separated(Parser::parse_expr)?;
    let charset = match parser.parse_keyword(Keyword::USING) {
        true => Some(parser.parse_object_name(false)?),
        false => None,
    };
    parser.expect_token(&Token::RParen)?;
    let call = call(ObjectName::from(vec![Ident::new("CHAR")]), values);
    Ok(match charset {
        None => call,
        charset => Expr::Convert {
            is_try: false,
            expr: Box::new(call),
            data_type: None,
            charset,
            target_before_value: false,
            styles: Vec::new(),
        },
    })
}

/// `CAST(value AS type)`; with a character set it is `CONVERT(value, type CHARACTER SET charset)`.
fn cast_call(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let expr = Box::new(parser.parse_expr()?);
    parser.expect_keyword_is(Keyword::AS)?;
    let data_type = parser.parse_data_type()?;
    if matches!(data_type, DataType::Signed | DataType::Unsigned) {
        // SIGNED INT means the same.
        let _ = parser.parse_keyword(Keyword::INT);
    }
    let charset =
        parser.parse_keywords(&[Keyword::CHARACTER, Keyword::SET]) || parser.parse_keyword(Keyword::CHARSET);
    if charset {
        let charset = Some(parser.parse_object_name(false)?);
        parser.expect_token(&Token::RParen)?;
        return Ok(Expr::Convert {
            is_try: false,
            expr,
            data_type: Some(data_type),
            charset,
            target_before_value: false,
            styles: Vec::new(),
        });
    }
    let array = parser.parse_keyword(Keyword::ARRAY);
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Cast { kind: CastKind::Cast, expr, data_type, array, format: None })
}

/// Reserved words that stand behind an expression or between two, never before one.
fn never_begins_an_expression(word: &Word) -> bool {
    matches!(
        word.keyword,
        Keyword::FROM
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::ORDER
            | Keyword::HAVING
            | Keyword::LIMIT
            | Keyword::ON
            | Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::WHEN
            | Keyword::AS
            | Keyword::BY
            | Keyword::UNION
            | Keyword::JOIN
            | Keyword::INNER
            | Keyword::CROSS
            | Keyword::USING
            | Keyword::INTO
            | Keyword::BETWEEN
            | Keyword::LIKE
            | Keyword::IS
            | Keyword::DIV
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::FOR
            | Keyword::ASC
            | Keyword::DESC
    )
}

/// Functions that MySQL calls without parentheses and sqlparser takes for columns.
fn is_bare_function(name: &str) -> bool {
    ["CURRENT_USER", "UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP"].iter().any(|f| f.eq_ignore_ascii_case(name))
}

fn bare_call(name: ObjectName) -> Expr {
    call_of(name, FunctionArguments::None)
}

fn call(name: ObjectName, values: Vec<Expr>) -> Expr {
    let args = values.into_iter().map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value))).collect();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    call_of(name, FunctionArguments::List(list))
}

fn call_of(name: ObjectName, args: FunctionArguments) -> Expr {
    Expr::Function(Function {
        name,
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn as_binary(expr: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: DataType::Binary(None),
        array: false,
        format: None,
    }
}

/// Whether a name before a literal of bytes says their character set.
fn is_introducer(name: &str) -> bool {
    name.strip_prefix('_').is_some_and(|charset| known(charset) != Known::No)
}

/// `_utf8mb4'text'` is the text, `_binary'text'` its bytes.
fn introducer(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let Token::Word(word) = &parser.peek_token_ref().token else { return None };
    let binary = match word.value.to_ascii_lowercase().as_str() {
        "_utf8mb4" | "_utf8" | "_utf8mb3" | "_ascii" => false,
        "_binary" => true,
        _ => return None,
    };
    parser.advance_token();
    let text = parser.parse_value().map(Expr::Value);
    Some(if binary { text.map(as_binary) } else { text })
}

/// `INTERVAL value unit`, or the function INTERVAL(..), which has two arguments at least. `None`: a column of
/// that name.
fn interval(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let [word, second] = parser.peek_tokens_ref::<2>();
    let Token::Word(name) = &word.token else { return None };
    let name = ObjectName::from(vec![name.to_ident(word.span)]);
    if second.token == Token::LParen {
        parser.advance_token();
        return Some(match parser.parse_prefix() {
            Ok(Expr::Tuple(values)) => Ok(call(name, values)),
            Ok(first) => continued(parser, first).and_then(|value| with_unit(parser, value)),
            Err(error) => Err(error),
        });
    }
    let parsed = parser.maybe_parse(|parser| {
        parser.advance_token();
        let value = parser.parse_expr()?;
        with_unit(parser, value)
    });
    parsed.transpose()
}

/// The expression that begins with `first`, which was read.
fn continued(parser: &mut Parser, first: Expr) -> Result<Expr, ParserError> {
    let mut expr = first;
    loop {
        match parser.get_next_precedence()? {
            0 => return Ok(expr),
            precedence => expr = parser.parse_infix(expr, precedence)?,
        }
    }
}

/// The unit behind the value of an INTERVAL.
fn with_unit(parser: &mut Parser, value: Expr) -> Result<Expr, ParserError> {
    let composite = match &parser.peek_token_ref().token {
        Token::Word(word) if COMPOSITE_UNITS.iter().any(|u| u.eq_ignore_ascii_case(&word.value)) => {
            Some(word.value.to_ascii_uppercase())
        }
        _ => None,
    };
    let unit = match composite {
        Some(unit) => {
            parser.advance_token();
            DateTimeField::Custom(Ident::new(unit))
        }
        None if parser.next_token_is_temporal_unit() => parser.parse_date_time_field()?,
        None => return parser.expected_ref("a unit of INTERVAL", parser.peek_token_ref()),
    };
    Ok(Expr::Interval(Interval {
        value: Box::new(value),
        leading_field: Some(unit),
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::lexer::lex;

    fn expr(text: &str) -> String {
        let tokens = lex(text).unwrap().tokens;
        let dialect = PandoDialect::new(tokens.len(), false);
        let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
        let expr = parser.parse_expr().unwrap();
        assert_eq!(parser.peek_token_ref().token, Token::EOF, "{text}");
        grouped(&expr)
    }

    /// The tree with every binary operation in brackets.
    fn grouped(expr: &Expr) -> String {
        match expr {
            Expr::BinaryOp { left, op, right } => format!("[{} {op} {}]", grouped(left), grouped(right)),
            Expr::UnaryOp { op, expr } => format!("{op}[{}]", grouped(expr)),
            Expr::IsNull(inner) => format!("[{} IS NULL]", grouped(inner)),
            Expr::Between { expr, low, high, .. } => {
                format!("[{} BETWEEN {} AND {}]", grouped(expr), grouped(low), grouped(high))
            }
            Expr::Cast { expr, data_type, .. } => format!("{data_type}({})", grouped(expr)),
            Expr::Like { expr, pattern, .. } => format!("[{} LIKE {}]", grouped(expr), grouped(pattern)),
            other => other.to_string(),
        }
    }

    #[test]
    fn precedences_are_mysqls() {
        for (text, tree) in [
            ("a or b xor c and d", "[a OR [b XOR [c AND d]]]"),
            ("a || b && c", "[a OR [b AND c]]"),
            ("a | b & c << d + e * f ^ g", "[a | [b & [c << [d + [e * [f ^ g]]]]]]"),
            ("a div b + c mod d", "[[a DIV b] + [c % d]]"),
            ("-a ^ b", "[-[a] ^ b]"),
            ("!a + b", "[NOT[a] + b]"),
            ("not a = b", "NOT[[a = b]]"),
            ("a = b is null", "[[a = b] IS NULL]"),
            ("a = b between c and d and e", "[[a = [b BETWEEN c AND d]] AND e]"),
            ("a = b like c", "[a = [b LIKE c]]"),
            ("binary a = b", "[BINARY(a) = b]"),
            ("a->'$.x' = 1", "[[a -> '$.x'] = 1]"),
            ("a = b <=> c", "[[a = b] <=> c]"),
        ] {
            assert_eq!(expr(text), tree, "{text}");
        }
    }

    #[test]
    fn chains_can_be_balanced() {
        let tokens = lex("a or b or c and d and e or f or g").unwrap().tokens;
        let dialect = PandoDialect::new(tokens.len(), true);
        let expr = Parser::new(&dialect).with_tokens_with_locations(tokens).parse_expr().unwrap();
        assert_eq!(grouped(&expr), "[[[a OR b] OR [[[c AND d] AND e] OR f]] OR g]");
    }

    #[test]
    fn expressions_that_sqlparser_lacks() {
        assert_eq!(expr("a + interval '1:1' minute_second"), "[a + INTERVAL '1:1' MINUTE_SECOND]");
        assert_eq!(expr("interval (1 + 1) day"), "INTERVAL (1 + 1) DAY");
        assert_eq!(expr("interval (1 + 1) * 2 day"), "INTERVAL (1 + 1) * 2 DAY");
        assert_eq!(expr("interval(5, 1, 10)"), "interval(5, 1, 10)");
        assert_eq!(expr("interval(5, 1, 10) + 1"), "[interval(5, 1, 10) + 1]");
        assert_eq!(expr("char(65, 66)"), "CHAR(65, 66)");
        assert_eq!(expr("char(65 using utf8mb4)"), "CONVERT(CHAR(65) USING utf8mb4)");
        assert_eq!(expr("current_user"), "current_user");
        assert_eq!(expr("_utf8mb4'x'"), "'x'");
        assert_eq!(expr("_utf8mb4 x'C3A9'"), "_utf8mb4 X'C3A9'");
        assert_eq!(expr("_binary 0x41 = _latin1 b'1'"), "[_binary X'41' = _latin1 B'1']");
        assert_eq!(
            expr("cast(a as char(3) character set utf8mb4)"),
            "CONVERT(a, CHAR(3) CHARACTER SET utf8mb4)"
        );
        assert_eq!(expr("cast(a as signed int)"), expr("cast(a as signed)"));
        assert_eq!(expr("cast(a as char charset binary)"), "CONVERT(a, CHAR CHARACTER SET binary)");
        assert_eq!(expr("a rlike null and b"), "[a RLIKE NULL AND b]");
        assert_eq!(expr("a not regexp null or b regexp 'x' 'y'"), "[a NOT REGEXP NULL OR b REGEXP 'xy']");
        assert_eq!(expr("extract(day_hour from d)"), "EXTRACT(day_hour FROM d)");
        assert_eq!(expr("values(a) + 1"), "[values(a) + 1]");
        assert_eq!(expr("'a' 'b'"), "'ab'");
        assert_eq!(expr("a = all ((select 1) union (select 2))"), "a = ALL((SELECT 1) UNION (SELECT 2))");
        assert_eq!(expr("a < any (select 1) and b"), "[a < ANY(SELECT 1) AND b]");
        assert_eq!(expr("mod(5, 2) mod 3"), "[mod(5, 2) % 3]");
        assert_eq!(expr("a::b::`0`::$c + 1"), "[JSON_EXTRACT_STRING(a, 'b', '0', 'c') + 1]");
        assert_eq!(expr("-t.a::%b"), "-[JSON_EXTRACT_DOUBLE(t.a, 'b')]");
        assert_eq!(
            expr("a::$`x y` = a::`$x`"),
            "[JSON_EXTRACT_STRING(a, 'x y') = JSON_EXTRACT_JSON(a, '$x')]"
        );
    }
}
