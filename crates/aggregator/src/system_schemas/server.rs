//! What the server is and does: ENGINES, PLUGINS, CHARACTER_SETS, COLLATIONS, PROCESSLIST, KEYWORDS, variables
//! and status.

use super::*;
use crate::processes::ProcessLine;
use crate::statement::Cell;
use catalog::Privilege;
use mysql_protocol::Plugin;
use sql::charset::{CHARSETS, collations as all_collations};

/// What SHOW and these tables call the storage.
pub(crate) const ENGINE: &str = "Pando";
pub(crate) const ENGINE_COMMENT: &str = "One copy of the data for transactions and analytics";

const VARIABLE: &[Column] = &[text("VARIABLE_NAME", 64), text("VARIABLE_VALUE", 2048).null()];

const fn variables(schema: &'static str, name: &'static str, source: Source) -> SystemTable {
    SystemTable { schema, name, columns: VARIABLE, source }
}

pub(super) const TABLES: &[SystemTable] = &[
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "ENGINES",
        columns: &[
            text("ENGINE", 64),
            text("SUPPORT", 8),
            text("COMMENT", 80),
            text("TRANSACTIONS", 3).null(),
            text("XA", 3).null(),
            text("SAVEPOINTS", 3).null(),
        ],
        source: Source::Here(engines),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "PLUGINS",
        columns: &[
            text("PLUGIN_NAME", 64),
            text("PLUGIN_VERSION", 20),
            text("PLUGIN_STATUS", 10),
            text("PLUGIN_TYPE", 80),
            text("PLUGIN_TYPE_VERSION", 20),
            text("PLUGIN_LIBRARY", 64).null(),
            text("PLUGIN_LIBRARY_VERSION", 20).null(),
            text("PLUGIN_AUTHOR", 64).null(),
            long("PLUGIN_DESCRIPTION").null(),
            text("PLUGIN_LICENSE", 80).null(),
            text("LOAD_OPTION", 64),
        ],
        source: Source::Here(plugins),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "CHARACTER_SETS",
        columns: &[
            text("CHARACTER_SET_NAME", 64),
            text("DEFAULT_COLLATE_NAME", 64),
            text("DESCRIPTION", 2048),
            uint("MAXLEN"),
        ],
        source: Source::Here(character_sets),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "COLLATIONS",
        columns: &[
            text("COLLATION_NAME", 64),
            text("CHARACTER_SET_NAME", 64),
            ubig("ID"),
            text("IS_DEFAULT", 3),
            text("IS_COMPILED", 3),
            uint("SORTLEN"),
            text("PAD_ATTRIBUTE", 9),
        ],
        source: Source::Here(collations),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "COLLATION_CHARACTER_SET_APPLICABILITY",
        columns: &[text("COLLATION_NAME", 64), text("CHARACTER_SET_NAME", 64)],
        source: Source::Here(applicability),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "PROCESSLIST",
        columns: &[
            ubig("ID"),
            text("USER", 32),
            text("HOST", 261),
            text("DB", 64).null(),
            text("COMMAND", 16),
            int("TIME"),
            text("STATE", 64).null(),
            long("INFO").null(),
        ],
        source: Source::Here(processes),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "KEYWORDS",
        columns: &[text("WORD", 128).null(), int("RESERVED").null()],
        source: Source::Here(keywords),
    },
    variables(INFORMATION_SCHEMA, "GLOBAL_VARIABLES", Source::Here(shouted_global_variables)),
    variables(INFORMATION_SCHEMA, "SESSION_VARIABLES", Source::Here(shouted_session_variables)),
    variables(INFORMATION_SCHEMA, "GLOBAL_STATUS", Source::Here(shouted_status)),
    variables(PERFORMANCE_SCHEMA, "global_variables", Source::Here(global_variables)),
    variables(PERFORMANCE_SCHEMA, "session_variables", Source::Here(session_variables)),
    variables(PERFORMANCE_SCHEMA, "global_status", Source::Here(status)),
];

fn engines(_: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    grid.push([ENGINE, "DEFAULT", ENGINE_COMMENT, "YES", "NO", "YES"].map(Cell::from).to_vec());
    Ok(())
}

/// How users may prove who they are.
fn plugins(_: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    for plugin in [Plugin::CachingSha2, Plugin::Native] {
        grid.push(vec![
            plugin.name().into(),
            "1.0".into(),
            "ACTIVE".into(),
            "AUTHENTICATION".into(),
            "2.1".into(),
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            "Apache-2.0".into(),
            "FORCE".into(),
        ]);
    }
    Ok(())
}

fn character_sets(_: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    for charset in CHARSETS {
        grid.push(vec![
            charset.name.into(),
            charset.default_collation.into(),
            charset.description.into(),
            Cell::UInt(u64::from(charset.max_bytes)),
        ]);
    }
    Ok(())
}

fn collations(_: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    for collation in all_collations() {
        grid.push(vec![
            collation.name.into(),
            collation.charset.into(),
            Cell::UInt(u64::from(collation.id)),
            (if collation.is_default { "Yes" } else { "" }).into(),
            "Yes".into(),
            Cell::UInt(1),
            (if collation.pad_space { "PAD SPACE" } else { "NO PAD" }).into(),
        ]);
    }
    Ok(())
}

fn applicability(_: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    for collation in all_collations() {
        grid.push(vec![collation.name.into(), collation.charset.into()]);
    }
    Ok(())
}

impl CatalogTables {
    /// The connections that the session may see: its account's own, with PROCESS everybody's.
    pub(crate) fn processes(&self) -> Vec<ProcessLine> {
        let sees_all = self.privileges.allow_globally(Privilege::Process);
        let own = &self.privileges.identity().user;
        let mut lines = self.aggregator.processes.list();
        lines.retain(|process| sees_all || process.user == *own);
        lines
    }
}

fn processes(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    for process in facts.tables.processes() {
        grid.push(vec![
            Cell::UInt(process.id),
            process.user.into(),
            process.host.into(),
            process.database.into(),
            process.activity.name().into(),
            Cell::UInt(process.seconds),
            process.stage.name().into(),
            process.statement.as_deref().into(),
        ]);
    }
    Ok(())
}

fn keywords(_: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    for word in sql::parse::RESERVED {
        grid.push(vec![(*word).into(), Cell::UInt(1)]);
    }
    Ok(())
}

fn push_variables(grid: &mut Grid, variables: impl IntoIterator<Item = (&'static str, String)>, shout: bool) {
    for (name, value) in variables {
        let name = if shout { name.to_uppercase() } else { name.to_string() };
        grid.push(vec![name.into(), value.into()]);
    }
}

fn global_variables(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    push_variables(grid, facts.tables.server_variables().show(), false);
    Ok(())
}

fn session_variables(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    push_variables(grid, facts.tables.session_variables.show(), false);
    Ok(())
}

fn status(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    push_variables(grid, facts.tables.aggregator.status(), false);
    Ok(())
}

// information_schema names variables in capitals, as MySQL 5.7 did and MariaDB does.

fn shouted_global_variables(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    push_variables(grid, facts.tables.server_variables().show(), true);
    Ok(())
}

fn shouted_session_variables(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    push_variables(grid, facts.tables.session_variables.show(), true);
    Ok(())
}

fn shouted_status(facts: &Facts, _: &Wanted, grid: &mut Grid) -> Result<()> {
    push_variables(grid, facts.tables.aggregator.status(), true);
    Ok(())
}
