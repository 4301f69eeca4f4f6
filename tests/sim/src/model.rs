//! What was acknowledged, and what a reader may see of it.
//!
//! A transfer moves amounts between accounts and writes its number into the journal of each partition
//! that it touches. So a snapshot tells which transfers it holds, and the balances must be those that
//! these transfers give: a lost update, half a transfer, a row seen twice or not at all shows.

use std::collections::{BTreeMap, BTreeSet};
use types::PartitionId;

/// Keys from here on are journal entries: this plus the transfer's number.
pub const JOURNAL: i64 = 1_000_000;
pub const BALANCE: i64 = 1_000;

/// The rows of some partitions at one snapshot.
pub type Rows = BTreeMap<PartitionId, BTreeMap<i64, i64>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nobody was asked to commit it.
    Open,
    /// It may be there or not, but never in part.
    Unknown,
    Committed,
    Aborted,
}

#[derive(Debug, Clone)]
pub struct Transfer {
    pub fate: Fate,
    /// (partition, account, amount)
    pub moves: Vec<(PartitionId, i64, i64)>,
}

impl Transfer {
    pub fn partitions(&self) -> BTreeSet<PartitionId> {
        self.moves.iter().map(|(partition, ..)| *partition).collect()
    }
}

#[derive(Debug, Default)]
pub struct Model {
    pub transfers: Vec<Transfer>,
    /// Transfers that a reader has seen: later readers see them too.
    seen: BTreeSet<usize>,
    pub reads: u64,
    /// In each partition.
    pub accounts: i64,
}

/// What a reader that begins now must see.
pub type Due = BTreeSet<usize>;

impl Model {
    /// With so many accounts in each partition.
    pub fn new(accounts: i64) -> Model {
        Model { accounts, ..Model::default() }
    }

    pub fn begin(&mut self, moves: Vec<(PartitionId, i64, i64)>) -> usize {
        self.transfers.push(Transfer { fate: Fate::Open, moves });
        self.transfers.len() - 1
    }

    pub fn due(&self) -> Due {
        let committed = self.transfers.iter().enumerate().filter(|(_, t)| t.fate == Fate::Committed);
        committed.map(|(number, _)| number).chain(self.seen.iter().copied()).collect()
    }

    pub fn count(&self, fate: Fate) -> usize {
        self.transfers.iter().filter(|transfer| transfer.fate == fate).count()
    }

    /// Judges a snapshot of some partitions by a reader that began when `due` was due.
    pub fn check(&mut self, due: &Due, rows: &Rows) -> Result<(), String> {
        self.reads += 1;
        let present =
            |number: usize, partition: &PartitionId| rows[partition].contains_key(&(JOURNAL + number as i64));
        let mut balances: Rows = rows
            .keys()
            .map(|partition| (*partition, (0..self.accounts).map(|account| (account, BALANCE)).collect()))
            .collect();
        for (number, transfer) in self.transfers.iter().enumerate() {
            let read: Vec<PartitionId> =
                transfer.partitions().into_iter().filter(|partition| rows.contains_key(partition)).collect();
            let Some(first) = read.first() else { continue };
            let there = present(number, first);
            if let Some(other) = read.iter().find(|partition| present(number, partition) != there) {
                return Err(format!(
                    "transfer {number} {transfer:?} is half there: {first}: {there}, not so {other}"
                ));
            }
            match (there, transfer.fate) {
                (true, Fate::Aborted | Fate::Open) => {
                    return Err(format!("transfer {number} {transfer:?} is there and was not committed"));
                }
                (false, _) if due.contains(&number) => {
                    return Err(format!("transfer {number} {transfer:?} is lost"));
                }
                _ => {}
            }
            if there {
                self.seen.insert(number);
                for (partition, account, amount) in &transfer.moves {
                    if let Some(balance) = balances.get_mut(partition).and_then(|b| b.get_mut(account)) {
                        *balance += amount;
                    }
                }
            }
        }
        for (partition, balances) in &balances {
            let found: BTreeMap<i64, i64> =
                rows[partition].iter().filter(|(k, _)| **k < JOURNAL).map(|(k, v)| (*k, *v)).collect();
            if found != *balances {
                return Err(format!("partition {partition}: balances {found:?} instead of {balances:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(1);
    const Q: PartitionId = PartitionId(2);

    fn model(fate: Fate) -> Model {
        let mut model = Model::new(1);
        model.begin(vec![(P, 0, -5), (Q, 0, 5)]);
        model.transfers[0].fate = fate;
        model
    }

    fn rows(p: &[(i64, i64)], q: &[(i64, i64)]) -> Rows {
        BTreeMap::from([(P, p.iter().copied().collect()), (Q, q.iter().copied().collect())])
    }

    #[test]
    fn what_is_wrong_is_found() {
        let before = rows(&[(0, 1_000)], &[(0, 1_000)]);
        let after = rows(&[(0, 995), (JOURNAL, 0)], &[(0, 1_005), (JOURNAL, 0)]);
        let half = rows(&[(0, 995), (JOURNAL, 0)], &[(0, 1_000)]);
        let lost_update = rows(&[(0, 995), (JOURNAL, 0)], &[(0, 1_000), (JOURNAL, 0)]);
        let mut open = model(Fate::Committed);
        assert!(open.check(&Due::new(), &before).is_ok(), "a snapshot from before");
        let due = open.due();
        assert!(open.check(&due, &before).unwrap_err().contains("lost"));
        assert!(open.check(&due, &after).is_ok());
        assert!(open.check(&due, &half).unwrap_err().contains("half"));
        assert!(open.check(&due, &lost_update).unwrap_err().contains("balances"));
        assert!(model(Fate::Aborted).check(&Due::new(), &after).unwrap_err().contains("not committed"));
        let mut unknown = model(Fate::Unknown);
        assert!(unknown.check(&Due::new(), &after).is_ok());
        let due = unknown.due();
        assert!(unknown.check(&due, &before).unwrap_err().contains("lost"), "it was seen");
    }
}
