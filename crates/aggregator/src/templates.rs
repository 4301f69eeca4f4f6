//! What is known of statements that come again and again: their trees, and for those on few rows by a
//! key what they do, so that they run without being parsed, bound and planned.
//!
//! A text is known by its normal form, the session's default database and its `sql_mode`; a prepared
//! statement by its text as it was prepared. What is made of a text for a version of a table is used
//! while the name still means that version: a new version of another table changes nothing.
//!
//! Texts that are no point statements are remembered as such, so that they are not parsed twice again.
//! The number of templates is bounded. When it is reached, those go that were not used since the last
//! time.

use exec::PlanAtHand;
use parking_lot::{Mutex, RwLock};
use sql::point::PointStatement;
use sql::statement::Statement;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use types::TableDef;

/// Templates at most.
const MOST: usize = 1_024;
/// The longest text of a prepared statement that has one.
pub(crate) const LONGEST: usize = 4_096;

/// What a text means for one version of its table.
pub(crate) struct Bound {
    pub(crate) def: Arc<TableDef>,
    /// None: it needs a plan.
    pub(crate) point: Option<PointStatement>,
    /// The result's columns, of a SELECT.
    pub(crate) columns: Vec<mysql_protocol::ColumnMeta>,
    /// What it makes of its rows, if that is more than to show columns of them.
    pub(crate) at_hand: Option<PlanAtHand>,
}

/// A statement whose text was seen.
pub(crate) struct Template {
    /// None: not of a kind that can be a point statement, or no statement at all.
    pub(crate) statement: Option<Arc<Statement>>,
    bound: Mutex<Option<Arc<Bound>>>,
    used: AtomicBool,
}

impl Template {
    pub(crate) fn new(statement: Option<Arc<Statement>>) -> Template {
        Template { statement, bound: Mutex::default(), used: AtomicBool::new(true) }
    }

    /// What it means for this version of its table, if that was worked out.
    pub(crate) fn bound(&self, def: &Arc<TableDef>) -> Option<Arc<Bound>> {
        let bound = self.bound.lock();
        let is_of = |bound: &&Arc<Bound>| bound.def.id == def.id && bound.def.version == def.version;
        bound.as_ref().filter(is_of).cloned()
    }

    pub(crate) fn set_bound(&self, bound: Arc<Bound>) {
        *self.bound.lock() = Some(bound);
    }
}

#[derive(Default)]
pub(crate) struct Templates {
    by_text: RwLock<HashMap<String, Arc<Template>>>,
    /// Statements that ran without a plan.
    pub(crate) unplanned: AtomicU64,
}

impl Templates {
    /// The template of a key that [`key`] made.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Template>> {
        let by_text = self.by_text.read();
        let template = by_text.get(key)?;
        if !template.used.load(Ordering::Relaxed) {
            template.used.store(true, Ordering::Relaxed);
        }
        Some(template.clone())
    }

    pub(crate) fn put(&self, key: String, template: Arc<Template>) {
        let mut by_text = self.by_text.write();
        if by_text.len() >= MOST {
            by_text.retain(|_, template| template.used.swap(false, Ordering::Relaxed));
            if by_text.len() >= MOST {
                // All of them were used, by more texts than are kept: begin again.
                by_text.clear();
            }
        }
        by_text.insert(key, template);
    }
}

/// A text under what else gives it its meaning.
pub(crate) fn key(surroundings: &str, is_prepared: bool, text: &str) -> String {
    let mut key = String::with_capacity(surroundings.len() + text.len() + 1);
    key.push_str(surroundings);
    key.push(if is_prepared { '\u{1}' } else { '\u{2}' });
    key.push_str(text);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_stays_when_room_is_made() {
        let templates = Templates::default();
        let put = |n: usize| templates.put(format!("k{n}"), Arc::new(Template::new(None)));
        (0..MOST).for_each(put);
        // Everything is new, so everything goes; then one is used and the others are not.
        put(MOST);
        assert!(templates.get("k0").is_none());
        (0..MOST - 1).for_each(put);
        templates.by_text.read().values().for_each(|template| template.used.store(false, Ordering::Relaxed));
        assert!(templates.get("k7").is_some());
        put(MOST + 1);
        assert!(templates.get("k7").is_some() && templates.get("k8").is_none());
        assert_eq!(templates.by_text.read().len(), 2);
    }

    #[test]
    fn a_prepared_text_is_another_than_a_normal_form() {
        assert_ne!(key("d\0m\0", true, "select ?"), key("d\0m\0", false, "select ?"));
    }
}
