//! Plans of SELECTs that come again: bound and planned once, run many times.
//!
//! A plan is kept under the text of its statement with all of its literals, the values of its placeholders, and what
//! of the session gives the text its meaning: the default database and the session variables. It is good while
//!
//! * each table that the text names is the same version of the same table, and the session may read it;
//! * its database has the same partitions, and they lie on as many leaves; where they lie is asked for each run;
//! * no table has become much larger or smaller ([`has_moved`]), and the plan is not old ([`LONGEST`]): what else is
//!   known of the values makes a plan faster or slower, and nothing else.
//!
//! Not kept is what is good for once: a plan with the time or the session's user in it
//! ([`sql::query::momentary`]), one that reads through a view or reads system tables, one that locks rows, and one
//! whose operators share values beside the plan ([`Prepared::can_repeat`]). A plan that is kept holds no snapshot, no
//! memory of a query and nothing of a run.
//!
//! Most texts with literals come once. So a text is planned for keeping when it comes the second time.
//!
//! A text that differs from another one only in literals of its conditions has the same *form*
//! ([`sql::point::conditions_form`]), and so have all uses of a prepared statement. Where these are compared with columns
//! of tables and do nothing else, a plan leaves them open ([`sql::query::Open`]), and is kept under the form with what
//! values are left. It runs for any others that the comparisons take as they took those that it was made for, unless a
//! scan expects so many more or fewer rows of them that another plan may be better ([`exec::scan::for_values`]).
//! The optimizer does not know them, the scans do, so such a plan prunes as much as one that was made for its values.
//!
//! What is kept counts against the memory of the process. Those go first that were not used for the longest time.

use env::{MemoryBudget, Recent, Seen};
use mysql_protocol::ColumnMeta;
use parking_lot::Mutex;
use planner::Prepared;
use sql::convert::Warning;
use sql::query::Open;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use types::{PartitionId, TableId};

use crate::admission::Class;

/// The share of the process's memory that is used at most, and the most whatever there is.
const SHARE: usize = 64;
const MOST_BYTES: usize = 64 << 20;
/// Texts that are remembered to have come once.
const MOST_SEEN: usize = 8_192;
/// A form is planned so often for values that have not come before.
pub(crate) const MOST_TRIES: u32 = 3;
/// Forms that something is known of.
const MOST_FORMS: usize = 1_024;
/// The longest form, and the most that its values may be long together.
pub(crate) const LONGEST_FORM: usize = 8 << 10;
/// The longest key that a plan is kept under: text, values and variables.
pub(crate) const LONGEST_KEY: usize = 32 << 10;
/// How long a plan is used.
const LONGEST: Duration = Duration::from_secs(60);

/// A table by the names that a statement gives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NamedTable {
    pub(crate) database: String,
    pub(crate) name: String,
    pub(crate) id: TableId,
    pub(crate) version: u64,
}

/// A table as a plan reads it.
pub(crate) struct ReadTable {
    pub(crate) named: NamedTable,
    /// When it was planned.
    pub(crate) rows: u64,
    /// Those of its database.
    pub(crate) partitions: Vec<PartitionId>,
}

/// A plan that is kept.
pub(crate) struct KeptPlan {
    pub(crate) prepared: Prepared,
    /// Whether a plan that runs takes long to make of it.
    pub(crate) is_large: bool,
    pub(crate) tables: Vec<ReadTable>,
    /// Those that the plan may read.
    pub(crate) partitions: Vec<PartitionId>,
    pub(crate) leaves: usize,
    pub(crate) class: Class,
    /// The result's columns, and what binding warned of.
    pub(crate) columns: Vec<ColumnMeta>,
    pub(crate) warnings: Vec<Warning>,
    /// The values that it leaves open.
    pub(crate) open: Open,
    pub(crate) made: Instant,
}

impl KeptPlan {
    pub(crate) fn is_old(&self) -> bool {
        self.made.elapsed() > LONGEST
    }
}

/// What is known of a form.
#[derive(Clone)]
pub(crate) struct Form {
    /// A plan may leave all values open but these, by place; `None`: no plan was found that leaves any.
    pub(crate) fixed: Option<Arc<[usize]>>,
    /// How often it was planned: other values may leave more open, so it is done some times.
    pub(crate) tries: u32,
}

pub(crate) struct Plans {
    kept: Mutex<Recent<String, KeptPlan>>,
    forms: Mutex<HashMap<String, Form>>,
    seen: Mutex<Seen>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Plans {
    pub(crate) fn new(memory: &Arc<MemoryBudget>) -> Plans {
        let most = (memory.limit() / SHARE).min(MOST_BYTES);
        Plans {
            kept: Mutex::new(Recent::new(most, memory.reservation())),
            forms: Mutex::default(),
            seen: Mutex::new(Seen::new(MOST_SEEN)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<KeptPlan>> {
        self.kept.lock().get(key)
    }

    pub(crate) fn put(&self, key: String, plan: Arc<KeptPlan>) {
        // A text's values take up to twenty times its length in the plan's lists.
        let bytes = plan.prepared.kept_bytes() + 20 * key.len();
        self.kept.lock().put(key, plan, bytes);
    }

    /// Forgets this plan, unless another has come into its place.
    pub(crate) fn forget(&self, key: &str, plan: &Arc<KeptPlan>) {
        self.kept.lock().remove(key, plan);
    }

    /// Whether the text has come before.
    pub(crate) fn comes_again(&self, key: &str) -> bool {
        self.seen.lock().comes_again(key)
    }

    pub(crate) fn form(&self, key: &str) -> Option<Form> {
        self.forms.lock().get(key).cloned()
    }

    pub(crate) fn set_form(&self, key: String, form: Form) {
        let mut forms = self.forms.lock();
        if forms.len() >= MOST_FORMS {
            forms.clear();
        }
        forms.insert(key, form);
    }

    pub(crate) fn note_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Name, help, whether it only rises, and the number.
    pub(crate) fn metrics(&self) -> [(&'static str, &'static str, bool, f64); 3] {
        [
            (
                "pando_plan_cache_hits_total",
                "Queries that ran from a plan which was kept.",
                true,
                self.hits.load(Ordering::Relaxed) as f64,
            ),
            (
                "pando_plan_cache_misses_total",
                "Queries that were planned, of those whose plan might have been kept.",
                true,
                self.misses.load(Ordering::Relaxed) as f64,
            ),
            (
                "pando_plan_cache_bytes",
                "Memory of the plans that are kept, about.",
                false,
                self.kept.lock().bytes() as f64,
            ),
        ]
    }
}

/// Whether a table of `before` rows that has `now` is worth another plan.
pub(crate) fn has_moved(before: u64, now: u64) -> bool {
    const FEW: u64 = 1000;
    let (less, more) = (before.min(now), before.max(now));
    more - less > FEW && more > less.saturating_add(less / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_moved_when_it_is_half_as_large_again() {
        assert!(!has_moved(0, 1000), "few rows are few rows");
        assert!(has_moved(0, 2000) && has_moved(2000, 0));
        assert!(!has_moved(10_000, 14_000) && has_moved(10_000, 16_000) && has_moved(16_000, 10_000));
    }
}
