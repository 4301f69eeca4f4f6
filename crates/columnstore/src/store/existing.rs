//! Where rows with given keys stand in the runs and segments of a state.
//!
//! Looking may read from disk, so it is done outside of the latch, on a pinned state. Under the latch
//! it then suffices that the layout is still the same and that what was found is not gone: new rows
//! come up in the tail only.

use crate::StoreError;
use crate::partition::state::Begin;
use crate::partition::state::TableState;
use crate::snapshot::outside;
use crate::tail::entry::{Fate, Place};
use crate::tail::key::Keys;

/// For each key of a range, the places of rows that have it and were not gone when looked at.
pub(crate) struct Existing {
    places: Vec<Vec<Place>>,
}

impl Existing {
    pub(crate) fn find(
        state: &TableState,
        keys: &Keys,
        rows: std::ops::Range<usize>,
    ) -> Result<Existing, StoreError> {
        let mut places = vec![Vec::new(); rows.len()];
        for run in &state.runs {
            let columns = run.columns()?;
            for (found, at) in places.iter_mut().zip(rows.clone()) {
                for row in columns.find(&keys.bytes[at])? {
                    if run.stands(row) {
                        found.push(Place { source: run.source, row });
                    }
                }
            }
        }
        for segment in &state.segments {
            if matches!(&segment.begin, Begin::Bulk { slot, .. } if slot.fate() == Fate::Aborted) {
                continue;
            }
            for (found, at) in places.iter_mut().zip(rows.clone()) {
                if outside(segment, &state.def, &keys.values[at]) {
                    continue;
                }
                for row in segment.file.segment.find_key(&state.def, &keys.values[at])? {
                    if !segment.deletes.contains(row) {
                        found.push(Place { source: segment.id(), row });
                    }
                }
            }
        }
        Ok(Existing { places })
    }

    /// No key exists, since there are no runs or segments.
    pub(crate) fn none(rows: usize) -> Existing {
        Existing { places: vec![Vec::new(); rows] }
    }

    /// Where in a run or segment a row with the key stands, if one does. `state` has the layout that
    /// was searched.
    pub(crate) fn place(&self, at: usize, state: &TableState) -> Option<Place> {
        self.places[at].iter().copied().find(|place| {
            let gone = match (state.run(place.source), state.segment(place.source)) {
                (Some(run), _) => run.deletes.contains(place.row),
                (None, Some(segment)) => segment.deletes.contains(place.row),
                (None, None) => true,
            };
            !gone
        })
    }
}
