//! A session's variables: the system's, which begin as the server's, and the user's own.

use crate::server::AggregatorOptions;
use crate::transaction::Isolation;
use catalog::Catalog;
use sql::query::VariableScope;
use sql::statement::Scope;
use sql::temporal::Zone;
use sql::variables::Variables;
use std::collections::HashMap;
use types::{Collation, Result, Value};

pub(crate) struct SessionVariables {
    session: Variables,
    server: Variables,
    user: HashMap<String, Value>,
    last_insert_id: u64,
    warning_count: u64,
    error_count: u64,
    /// Rises with each change of a session variable.
    version: u64,
}

/// What the server's variables are: the defaults, what this process knows of itself, and what SET
/// GLOBAL left in the catalog. Sessions share them until one changes its own.
pub(crate) fn server_variables(catalog: &Catalog, options: &AggregatorOptions) -> Variables {
    let known = [
        ("port", Value::UInt(u64::from(options.port))),
        ("hostname", Value::Text(options.host.clone())),
        ("datadir", Value::Text(options.data.clone())),
        ("secure_file_priv", options.files.shown()),
        ("version", Value::Text(sql::variables::SERVER_VERSION.to_string())),
    ];
    let mut variables = Variables::with(known).unwrap_or_default();
    for (name, text) in catalog.global_variables() {
        let value = text.parse().map_or_else(|_| Value::Text(text.to_string()), Value::UInt);
        if let Err(error) = variables.set(Scope::Global, name, &value) {
            tracing::warn!(name, text, %error, "a stored global variable is not usable");
        }
    }
    variables
}

impl SessionVariables {
    pub(crate) fn new(server: Variables) -> SessionVariables {
        SessionVariables {
            session: server.clone(),
            server,
            user: HashMap::new(),
            last_insert_id: 0,
            warning_count: 0,
            error_count: 0,
            version: 1,
        }
    }

    /// The session's system variables as they are now.
    pub(crate) fn session(&self) -> &Variables {
        &self.session
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The session of an interactive client waits for so long as interactive_timeout says.
    pub(crate) fn take_interactive_timeout(&mut self) {
        if let Ok(value) = self.server.get("interactive_timeout")
            && let Err(error) = self.set(Scope::Session, "wait_timeout", &value)
        {
            tracing::warn!(%error, "interactive_timeout is no wait_timeout");
        }
    }

    /// What `@@last_insert_id`, `@@warning_count` and `@@error_count` show.
    pub(crate) fn note(&mut self, last_insert_id: u64, warning_count: u64, error_count: u64) {
        self.last_insert_id = last_insert_id;
        self.warning_count = warning_count;
        self.error_count = error_count;
    }

    pub(crate) fn set(&mut self, scope: Scope, name: &str, value: &Value) -> Result<Value> {
        self.version += 1;
        match scope {
            Scope::Session => self.session.set(scope, name, value),
            Scope::Global | Scope::Persist => self.server.set(scope, name, value),
        }
    }

    pub(crate) fn reset(&mut self, scope: Scope, name: &str) -> Result<Value> {
        self.version += 1;
        match scope {
            Scope::Session => self.session.reset(scope, name, Some(&self.server)),
            Scope::Global | Scope::Persist => self.server.reset(scope, name, None),
        }
    }

    pub(crate) fn set_names(&mut self, charset: Option<&str>, collation: Option<&str>) -> Result<()> {
        self.version += 1;
        self.session.set_names(charset, collation)
    }

    pub(crate) fn set_user(&mut self, name: &str, value: Value) {
        self.user.insert(name.to_ascii_lowercase(), value);
    }

    pub(crate) fn user_values(&self) -> &HashMap<String, Value> {
        &self.user
    }

    pub(crate) fn set_user_values(&mut self, values: HashMap<String, Value>) {
        self.user = values;
    }

    pub(crate) fn user_value(&self, name: &str) -> Value {
        self.user.get(&name.to_ascii_lowercase()).cloned().unwrap_or(Value::Null)
    }

    /// A session variable as a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.session.number(name).ok()
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.session.text(name).ok()
    }

    /// The collation that a session variable names.
    pub(crate) fn collation(&self, name: &str) -> Collation {
        self.text(name).and_then(|name| Collation::of_name(&name)).unwrap_or_default()
    }

    /// The isolation level of transactions to come.
    pub(crate) fn isolation(&self) -> Isolation {
        match self.text("transaction_isolation").as_deref() {
            Some("REPEATABLE-READ") => Isolation::RepeatableRead,
            // READ COMMITTED is what a looser level gets too.
            _ => Isolation::ReadCommitted,
        }
    }

    pub(crate) fn zone(&self) -> Zone {
        self.session.zone()
    }

    /// Names and texts for SHOW VARIABLES.
    pub(crate) fn list(&self, global: bool) -> Vec<(&'static str, String)> {
        (if global { &self.server } else { &self.session }).show().collect()
    }
}

impl sql::query::Variables for SessionVariables {
    fn system(&self, scope: VariableScope, name: &str) -> Result<Value> {
        match (scope, name) {
            (VariableScope::Global, _) => self.server.get(name),
            (_, "last_insert_id" | "identity") => Ok(Value::UInt(self.last_insert_id)),
            (_, "warning_count") => Ok(Value::UInt(self.warning_count)),
            (_, "error_count") => Ok(Value::UInt(self.error_count)),
            _ => self.session.get(name),
        }
    }

    fn user(&self, name: &str) -> Value {
        self.user_value(name)
    }
}
