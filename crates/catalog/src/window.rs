//! Remembers the last commands of each node, so that a command that arrives twice is applied once.
//!
//! For each node the outcomes of the [`WINDOW`] greatest numbers are kept, and `floor`, the
//! greatest number that was forgotten. A number above the floor that is not kept is new, whatever
//! came before it; one at or below the floor is refused, since nobody can tell any more whether it
//! was applied. A kept number with another command is refused too: somebody used an id twice.

use crate::{Command, CommandId, Outcome, format};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::SqlError;

/// How many commands of one node are remembered.
pub const WINDOW: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) floor: u64,
    pub(crate) applied: BTreeMap<u64, Arc<Applied>>,
}

/// A command that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applied {
    pub(crate) number: u64,
    /// CRC-32 of the command's JSON.
    pub(crate) fingerprint: u32,
    #[serde(with = "format::result")]
    pub(crate) result: Result<Outcome, SqlError>,
}

pub(crate) fn fingerprint(command: &Command) -> u32 {
    // Invariant: a command consists of strings, numbers, lists and enums, which JSON always takes.
    let json = serde_json::to_vec(command).expect("a command is JSON");
    crc32fast::hash(&json)
}

impl Window {
    /// What is known of the command `id`; `None`: it is new.
    pub(crate) fn known(&self, id: CommandId, fingerprint: u32) -> Option<Result<Outcome, SqlError>> {
        match self.applied.get(&id.number) {
            Some(applied) if applied.fingerprint == fingerprint => Some(applied.result.clone()),
            Some(_) => Some(Err(SqlError::internal(format!(
                "Metadata command {id} was refused: its number belongs to another command"
            )))),
            None if id.number <= self.floor => Some(Err(SqlError::internal(format!(
                "Metadata command {id} was refused: it came so late that nobody knows any more whether it was applied"
            )))),
            None => None,
        }
    }

    pub(crate) fn remember(&mut self, number: u64, fingerprint: u32, result: Result<Outcome, SqlError>) {
        self.applied.insert(number, Arc::new(Applied { number, fingerprint, result }));
        while self.applied.len() > WINDOW {
            if let Some((number, _)) = self.applied.pop_first() {
                self.floor = number;
            }
        }
    }

    /// The greatest number that was applied; 0: none.
    pub(crate) fn last_number(&self) -> u64 {
        self.applied.last_key_value().map_or(self.floor, |(number, _)| *number)
    }
}
