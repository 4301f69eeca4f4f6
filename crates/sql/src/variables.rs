//! System variables: which there are, what they may be set to, and what a session's are.
//!
//! Most exist because clients read or set them on connecting; those that would change how statements
//! work in a way that is not built are refused when set to that.

mod table;

use crate::charset::{self, Known};
use crate::functions::encryption::Mode;
use crate::statement::Scope;
use crate::temporal::Zone;
use std::collections::HashMap;
use std::sync::Arc;
use types::{ErrorKind, Result, SqlError, Value};

pub use table::{Kind, VARIABLES, Variable, Where};

/// What VERSION() says and the greeting shows. The leading number tells drivers which MySQL's manners to
/// expect; Pando's own version follows it.
pub const SERVER_VERSION: &str = concat!("8.0.40-Pando-", env!("CARGO_PKG_VERSION"));

/// The values of all variables, of the server or of a session, which begins with a copy of the
/// server's.
/// A copy shares the values until one of both is changed: thousands of idle sessions hold them once.
#[derive(Debug, Clone, PartialEq)]
pub struct Variables {
    values: Arc<Vec<Value>>,
}

fn place(name: &str) -> Result<usize> {
    // Every statement asks for some, by the names that the table has.
    if let Ok(at) = VARIABLES.binary_search_by_key(&name, |variable| variable.name) {
        return Ok(at);
    }
    // The names that MySQL 5.7 had, and some drivers still say.
    let name = name.to_ascii_lowercase();
    let name = match name.as_str() {
        "tx_isolation" => "transaction_isolation",
        "tx_read_only" => "transaction_read_only",
        "storage_engine" => "default_storage_engine",
        "identity" => "last_insert_id",
        other => other,
    };
    VARIABLES.binary_search_by_key(&name, |variable| variable.name).map_err(|_| unknown(name))
}

fn unknown(name: &str) -> SqlError {
    SqlError::new(ErrorKind::UnknownSystemVariable, format!("Unknown system variable '{name}'"))
}

fn wrong_value(variable: &Variable, value: &str) -> SqlError {
    SqlError::new(
        ErrorKind::WrongValueForVariable,
        format!("Variable '{}' can't be set to the value of '{value}'", variable.name),
    )
}

fn wrong_type(variable: &Variable) -> SqlError {
    SqlError::new(
        ErrorKind::WrongTypeForVariable,
        format!("Incorrect argument type to variable '{}'", variable.name),
    )
}

/// Variables that would change what statements do, if that were here: they keep their defaults. What is not among
/// them, and nobody asks for, tunes how MySQL works and not what it answers.
const NOT_YET: &[&str] = &[
    "auto_increment_increment",
    "auto_increment_offset",
    "completion_type",
    "default_week_format",
    "div_precision_increment",
    "init_connect",
    "insert_id",
    "lc_time_names",
    "read_only",
    "sql_auto_is_null",
    "sql_quote_show_create",
    "sql_require_primary_key",
    "super_read_only",
];

impl Default for Variables {
    fn default() -> Variables {
        Variables { values: Arc::new(VARIABLES.iter().map(|variable| variable.default()).collect()) }
    }
}

impl Variables {
    /// The defaults with what the server knows of itself, such as its port: these may be read only.
    pub fn with(known: impl IntoIterator<Item = (&'static str, Value)>) -> Result<Variables> {
        let mut variables = Variables::default();
        for (name, value) in known {
            let at = place(name)?;
            variables.put(at, value);
        }
        Ok(variables)
    }

    fn put(&mut self, at: usize, value: Value) {
        if self.values[at] != value {
            Arc::make_mut(&mut self.values)[at] = value;
        }
    }

    /// The value as SELECT @@name gives it; 1193 if there is none of this name.
    pub fn get(&self, name: &str) -> Result<Value> {
        Ok(self.values[place(name)?].clone())
    }

    /// A boolean or integer variable as a number; 0 for others.
    pub fn number(&self, name: &str) -> Result<u64> {
        Ok(match self.values[place(name)?] {
            Value::Int(value) => value.max(0) as u64,
            Value::UInt(value) => value,
            _ => 0,
        })
    }

    pub fn is_on(&self, name: &str) -> Result<bool> {
        self.number(name).map(|value| value != 0)
    }

    /// A variable's text as SHOW VARIABLES gives it.
    pub fn text(&self, name: &str) -> Result<String> {
        let at = place(name)?;
        Ok(shown(&VARIABLES[at], &self.values[at]))
    }

    /// Name and text of all variables, by name.
    pub fn show(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        VARIABLES
            .iter()
            .zip(self.values.iter())
            .map(|(variable, value)| (variable.name, shown(variable, value)))
    }

    /// Sets a variable in this set of values. The caller sets those of the session, of the server, or of
    /// both, by `scope`; here it is only checked that the variable has that scope. Gives the value as it
    /// was stored.
    pub fn set(&mut self, scope: Scope, name: &str, value: &Value) -> Result<Value> {
        let at = place(name)?;
        let variable = &VARIABLES[at];
        variable.check_scope(scope)?;
        let value = variable.check(value)?;
        if NOT_YET.contains(&variable.name) && value != variable.default() {
            let text = shown(variable, &value);
            return Err(SqlError::unsupported(format!("{} = {text}", variable.name)));
        }
        self.put(at, value.clone());
        Ok(value)
    }

    /// SET name = DEFAULT: a session takes the server's value, given as `global`, the server its own
    /// default.
    pub fn reset(&mut self, scope: Scope, name: &str, global: Option<&Variables>) -> Result<Value> {
        let at = place(name)?;
        let variable = &VARIABLES[at];
        variable.check_scope(scope)?;
        let value = global.map_or_else(|| variable.default(), |global| global.values[at].clone());
        self.put(at, value.clone());
        Ok(value)
    }

    /// SET NAMES and SET CHARACTER SET; `None` means the default.
    pub fn set_names(&mut self, charset: Option<&str>, collation: Option<&str>) -> Result<()> {
        let charset = charset.unwrap_or(charset::DEFAULT_CHARSET);
        check_charset(charset)?;
        let collation = collation.unwrap_or(charset::DEFAULT_COLLATION);
        charset::collation(collation)?;
        let charset = Value::Text(charset.to_ascii_lowercase());
        for name in ["character_set_client", "character_set_connection", "character_set_results"] {
            self.put(place(name)?, charset.clone());
        }
        self.put(place("collation_connection")?, Value::Text(collation.to_ascii_lowercase()));
        Ok(())
    }

    /// The session's time zone.
    pub fn zone(&self) -> Zone {
        match place("time_zone").map(|at| &self.values[at]) {
            Ok(Value::Text(text)) => Zone::parse(text).unwrap_or(Zone::System),
            _ => Zone::System,
        }
    }

    /// The variables that differ from `other`'s, with their text: to store or to tell a client.
    pub fn changed_from<'a>(&'a self, other: &'a Variables) -> HashMap<&'static str, String> {
        let pairs = self.values.iter().zip(other.values.iter()).zip(VARIABLES);
        pairs
            .filter(|((mine, theirs), _)| mine != theirs)
            .map(|((mine, _), variable)| (variable.name, shown(variable, mine)))
            .collect()
    }
}

/// Whether there is a variable of this name.
pub fn exists(name: &str) -> bool {
    place(name).is_ok()
}

fn shown(variable: &Variable, value: &Value) -> String {
    match (&variable.kind, value) {
        (Kind::Bool, Value::Int(value)) => if *value == 0 { "OFF" } else { "ON" }.to_string(),
        (_, Value::Null) => String::new(),
        (_, Value::Text(text)) => text.clone(),
        (_, value) => {
            let scalar = crate::convert::Scalar::of(value);
            String::from_utf8_lossy(&scalar.text()).into_owned()
        }
    }
}

fn check_charset(name: &str) -> Result<()> {
    match charset::known(name) {
        Known::Utf8 => Ok(()),
        Known::Other if name.eq_ignore_ascii_case("binary") => Ok(()),
        Known::Other => Err(SqlError::unsupported(format!("the character set {name}"))),
        Known::No => {
            Err(SqlError::new(ErrorKind::UnknownCharacterSet, format!("Unknown character set: '{name}'")))
        }
    }
}

impl Variable {
    fn default(&self) -> Value {
        match (&self.kind, self.default) {
            (Kind::Bool, text) => Value::Int(i64::from(text == "ON")),
            (Kind::Integer { .. }, text) => text.parse().map_or(Value::Null, Value::UInt),
            (_, "NULL") => Value::Null,
            (_, text) => Value::Text(text.to_string()),
        }
    }

    fn check_scope(&self, scope: Scope) -> Result<()> {
        let wrong = |kind, text: String| Err(SqlError::new(kind, text));
        if !self.settable {
            let text = format!("Variable '{}' is a read only variable", self.name);
            return wrong(ErrorKind::VariableIsReadOnly, text);
        }
        match (scope, self.scope) {
            (Scope::Session, Where::Connecting) => wrong(
                ErrorKind::SessionVariableIsReadOnly,
                format!("SESSION variable '{}' is read-only. Use SET GLOBAL to assign the value", self.name),
            ),
            (Scope::Session, Where::Global) => wrong(
                ErrorKind::GlobalVariable,
                format!("Variable '{}' is a GLOBAL variable and should be set with SET GLOBAL", self.name),
            ),
            (Scope::Global | Scope::Persist, Where::Session) => wrong(
                ErrorKind::LocalVariable,
                format!("Variable '{}' is a SESSION variable and can't be used with SET GLOBAL", self.name),
            ),
            _ => Ok(()),
        }
    }

    /// The value as it is stored, if the variable takes it.
    pub fn check(&self, value: &Value) -> Result<Value> {
        match &self.kind {
            Kind::Bool => self.check_bool(value),
            Kind::Integer { min, max } => {
                let given = match value {
                    Value::Int(value) => i128::from(*value),
                    Value::UInt(value) => i128::from(*value),
                    Value::Null => return Err(wrong_value(self, "NULL")),
                    _ => return Err(wrong_type(self)),
                };
                // MySQL takes the nearest value that is allowed.
                Ok(Value::UInt(given.clamp(i128::from(*min), i128::from(*max)) as u64))
            }
            Kind::Enum(words) => {
                let text = self.text_of(value)?;
                let by_number = text.parse::<usize>().ok().and_then(|n| words.get(n));
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(&text)).or(by_number);
                word.map(|word| Value::Text((*word).to_string())).ok_or_else(|| wrong_value(self, &text))
            }
            Kind::Text => self.text_of(value).map(Value::Text),
            Kind::Charset => match value {
                // JDBC says so to get results unconverted.
                Value::Null if self.name == "character_set_results" => Ok(Value::Null),
                _ => {
                    let name = self.text_of(value)?;
                    check_charset(&name)?;
                    Ok(Value::Text(name.to_ascii_lowercase()))
                }
            },
            Kind::Collation => {
                let name = self.text_of(value)?;
                charset::collation(&name)?;
                Ok(Value::Text(name.to_ascii_lowercase()))
            }
            Kind::TimeZone => {
                let name = self.text_of(value)?;
                match Zone::parse(&name) {
                    Some(zone) => Ok(Value::Text(zone.to_string())),
                    None => Err(SqlError::new(
                        ErrorKind::UnknownTimeZone,
                        format!("Unknown or incorrect time zone: '{name}'"),
                    )),
                }
            }
            Kind::Isolation => {
                let name = self.text_of(value)?.to_ascii_uppercase().replace(' ', "-");
                match name.as_str() {
                    "READ-COMMITTED" | "REPEATABLE-READ" | "READ-UNCOMMITTED" => Ok(Value::Text(name)),
                    "SERIALIZABLE" => Err(SqlError::unsupported("the isolation level SERIALIZABLE")),
                    _ => Err(wrong_value(self, &name)),
                }
            }
            Kind::SqlMode => sql_mode(self, value),
            Kind::BlockEncryption => {
                let name = self.text_of(value)?.to_ascii_lowercase();
                match Mode::of(&name) {
                    Some(_) => Ok(Value::Text(name)),
                    None if is_other_block_mode(&name) => {
                        Err(SqlError::unsupported(format!("the block_encryption_mode {name}")))
                    }
                    None => Err(wrong_value(self, &name)),
                }
            }
        }
    }

    fn check_bool(&self, value: &Value) -> Result<Value> {
        let on = match value {
            Value::Int(0) | Value::UInt(0) => false,
            Value::Int(1) | Value::UInt(1) => true,
            Value::Text(text) if text.eq_ignore_ascii_case("ON") || text.eq_ignore_ascii_case("TRUE") => true,
            Value::Text(text) if text.eq_ignore_ascii_case("OFF") || text.eq_ignore_ascii_case("FALSE") => {
                false
            }
            Value::Float(_) | Value::Double(_) | Value::Decimal { .. } => return Err(wrong_type(self)),
            other => {
                let scalar = crate::convert::Scalar::of(other);
                return Err(wrong_value(self, &String::from_utf8_lossy(&scalar.text())));
            }
        };
        Ok(Value::Int(i64::from(on)))
    }

    fn text_of(&self, value: &Value) -> Result<String> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            Value::Int(value) => Ok(value.to_string()),
            Value::UInt(value) => Ok(value.to_string()),
            Value::Bytes(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Value::Null => Err(wrong_value(self, "NULL")),
            _ => Err(wrong_type(self)),
        }
    }
}

/// Whether MySQL has this block_encryption_mode, and Pando does not.
fn is_other_block_mode(name: &str) -> bool {
    let mode = ["aes-128-", "aes-192-", "aes-256-"].iter().find_map(|size| name.strip_prefix(size));
    mode.is_some_and(|mode| matches!(mode, "cfb1" | "cfb8" | "cfb128" | "ofb"))
}

const TRADITIONAL: &str = "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
     ERROR_FOR_DIVISION_BY_ZERO,TRADITIONAL,NO_ENGINE_SUBSTITUTION";

fn sql_mode(variable: &Variable, value: &Value) -> Result<Value> {
    let given = variable.text_of(value)?;
    let mut modes: Vec<String> = Vec::new();
    for mode in given.split(',').map(|mode| mode.trim().to_ascii_uppercase()).filter(|m| !m.is_empty()) {
        match mode.as_str() {
            "TRADITIONAL" => modes.extend(TRADITIONAL.split(',').map(str::to_string)),
            "ALLOW_INVALID_DATES"
            | "ANSI"
            | "ANSI_QUOTES"
            | "HIGH_NOT_PRECEDENCE"
            | "NO_BACKSLASH_ESCAPES"
            | "PIPES_AS_CONCAT"
            | "REAL_AS_FLOAT"
            | "PAD_CHAR_TO_FULL_LENGTH"
            | "TIME_TRUNCATE_FRACTIONAL"
            | "NO_UNSIGNED_SUBTRACTION" => {
                return Err(SqlError::unsupported(format!("the sql_mode {mode}")));
            }
            "ERROR_FOR_DIVISION_BY_ZERO"
            | "IGNORE_SPACE"
            | "NO_AUTO_VALUE_ON_ZERO"
            | "NO_DIR_IN_CREATE"
            | "NO_ENGINE_SUBSTITUTION"
            | "NO_ZERO_DATE"
            | "NO_ZERO_IN_DATE"
            | "ONLY_FULL_GROUP_BY"
            | "STRICT_ALL_TABLES"
            | "STRICT_TRANS_TABLES" => modes.push(mode),
            // The name that MySQL 5.7 had; a dump of it may say so.
            "NO_AUTO_CREATE_USER" => {}
            _ => return Err(wrong_value(variable, &mode)),
        }
    }
    let mut seen = std::collections::HashSet::new();
    modes.retain(|mode| seen.insert(mode.clone()));
    Ok(Value::Text(modes.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.into())
    }

    #[test]
    fn reading() {
        let variables = Variables::default();
        assert_eq!(variables.get("AUTOCOMMIT"), Ok(Value::Int(1)));
        assert_eq!(variables.text("autocommit").unwrap(), "ON");
        assert_eq!(variables.get("tx_isolation"), variables.get("transaction_isolation"));
        assert_eq!(variables.get("max_allowed_packet"), Ok(Value::UInt(67_108_864)));
        assert_eq!(variables.get("nope").unwrap_err().message, "Unknown system variable 'nope'");
        assert_eq!(variables.show().count(), VARIABLES.len());
        assert_eq!(variables.zone(), Zone::System);
    }

    #[test]
    fn setting() {
        let mut v = Variables::default();
        v.set(Scope::Session, "autocommit", &text("off")).unwrap();
        assert!(!v.is_on("autocommit").unwrap());
        v.set(Scope::Session, "wait_timeout", &Value::Int(-1)).unwrap();
        assert_eq!(v.get("wait_timeout"), Ok(Value::UInt(1)));
        v.set(Scope::Session, "time_zone", &text("+02:00")).unwrap();
        assert_eq!(v.zone(), Zone::Offset(7200));
        v.set(Scope::Session, "sql_mode", &text("traditional, NO_ZERO_DATE")).unwrap();
        assert_eq!(v.text("sql_mode").unwrap(), TRADITIONAL);
        v.set(Scope::Session, "character_set_results", &Value::Null).unwrap();
        v.set_names(Some("UTF8"), None).unwrap();
        assert_eq!(v.text("character_set_client").unwrap(), "utf8");
        let changed = v.changed_from(&Variables::default());
        assert_eq!(changed.get("autocommit").map(String::as_str), Some("OFF"));
        assert!(!changed.contains_key("port"));
    }

    #[test]
    fn refusals_are_mysqls() {
        let mut v = Variables::default();
        for (scope, name, value, error, message) in [
            (Scope::Session, "x", text("1"), 1193, "Unknown system variable 'x'"),
            (Scope::Session, "version", text("1"), 1238, "Variable 'version' is a read only variable"),
            (
                Scope::Session,
                "autocommit",
                Value::Int(2),
                1231,
                "Variable 'autocommit' can't be set to the value of '2'",
            ),
            (
                Scope::Session,
                "wait_timeout",
                text("x"),
                1232,
                "Incorrect argument type to variable 'wait_timeout'",
            ),
            (
                Scope::Session,
                "sql_mode",
                text("WRONG"),
                1231,
                "Variable 'sql_mode' can't be set to the value of 'WRONG'",
            ),
            (
                Scope::Session,
                "character_set_client",
                text("klingon"),
                1115,
                "Unknown character set: 'klingon'",
            ),
        ] {
            let wrong = v.set(scope, name, &value).unwrap_err();
            assert_eq!((wrong.kind.errno(), wrong.message.as_str()), (error, message));
        }
        assert_eq!(v.set(Scope::Session, "sql_mode", &text("ANSI_QUOTES")).unwrap_err().kind.errno(), 1235);
        assert_eq!(v.set(Scope::Session, "local_infile", &Value::Int(1)).unwrap_err().kind.errno(), 1229);
        assert_eq!(
            v.set(Scope::Session, "max_allowed_packet", &Value::Int(1)).unwrap_err().kind.errno(),
            1621
        );
        assert!(v.set(Scope::Global, "local_infile", &Value::Int(1)).is_ok());
    }

    #[test]
    fn table_is_sorted_and_its_defaults_are_allowed() {
        assert!(VARIABLES.is_sorted_by_key(|variable| variable.name));
        for variable in VARIABLES.iter().filter(|variable| variable.settable) {
            let default = variable.default();
            if default != Value::Null {
                assert_eq!(variable.check(&default), Ok(default), "{}", variable.name);
            }
        }
    }
}
