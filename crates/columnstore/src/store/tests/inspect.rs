//! What the store says of itself.

use super::*;
use crate::{Inspect, Inspection, LayoutJobKind, LockKind, LockMode, PieceKind};
use std::thread;

fn pieces(f: &Fixture) -> Vec<(PieceKind, u64, u64)> {
    let Inspection::Pieces(pieces) = f.store.inspect(Inspect::Pieces).unwrap() else { panic!() };
    let of_table = pieces.into_iter().filter(|piece| (piece.partition, piece.table) == (P1, f.def.id));
    of_table.map(|piece| (piece.kind, piece.rows, piece.deleted)).collect()
}

#[test]
fn the_position_of_a_partition_goes_on_with_what_it_commits() {
    let f = Fixture::small();
    let positions = || match f.store.inspect(Inspect::Positions).unwrap() {
        Inspection::Positions(positions) => {
            positions.into_iter().collect::<std::collections::BTreeMap<_, _>>()
        }
        _ => panic!(),
    };
    let before = positions();
    f.put(1, P1, &[(1, 10)]);
    let after = positions();
    assert!(after[&P1] > before[&P1]);
    assert_eq!(after[&P2], before[&P2]);
}

#[test]
fn every_piece_of_a_table_is_there_with_its_rows() {
    let f = Fixture::small();
    assert_eq!(pieces(&f), [(PieceKind::Tail, 0, 0)]);
    f.put(1, P1, &[(1, 10), (2, 20), (3, 30)]);
    f.store.flush(P1).unwrap();
    let mut tx = f.begin(2);
    tx.delete(P1, &[2]).unwrap();
    tx.commit().unwrap();
    f.put(3, P1, &[(4, 40)]);
    f.store.partition(P1).unwrap().latch().unwrap().freeze(&f.store.leaf, f.def.id).unwrap();
    f.put(4, P1, &[(5, 50), (6, 60)]);
    let found = pieces(&f);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0].0, PieceKind::Tail);
    assert!(found[0].1 >= 2);
    assert_eq!((found[1].0, found[2]), (PieceKind::Run, (PieceKind::Segment, 3, 1)));
    let Inspection::Pieces(all) = f.store.inspect(Inspect::Pieces).unwrap() else { panic!() };
    let segment = all.iter().find(|piece| piece.kind == PieceKind::Segment).unwrap();
    assert!(segment.bytes > 0 && !segment.pending && segment.committed.is_some());
    assert_eq!(all.iter().filter(|piece| piece.partition == P2).count(), 1);
}

#[test]
fn a_frozen_run_is_due_to_be_flushed_until_it_is() {
    let f = Fixture::small();
    let jobs = || match f.store.inspect(Inspect::Jobs).unwrap() {
        Inspection::Jobs(jobs) => jobs,
        other => panic!("{other:?}"),
    };
    assert!(jobs().is_empty());
    f.put(1, P1, &[(1, 10), (2, 20)]);
    f.store.partition(P1).unwrap().latch().unwrap().freeze(&f.store.leaf, f.def.id).unwrap();
    let due = jobs();
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].partition, due[0].table, due[0].kind), (P1, f.def.id, LayoutJobKind::Flush));
    assert_eq!((due[0].inputs, due[0].rows, due[0].running_millis), (1, 2, None));
    let partition = f.store.partition(P1).unwrap();
    {
        let state = partition.latch().unwrap().state(f.def.id).unwrap().clone();
        let shape = crate::store::inspect::JobShape::of(&state.runs, &state.segments);
        let _shown = partition.show_job(f.def.id, shape);
        let running = jobs();
        assert_eq!(running.len(), 1, "the table's next job is not due beside one that runs");
        assert!(running[0].running_millis.is_some() && running[0].rows == 2);
    }
    assert_eq!(jobs(), due);
    f.store.flush(P1).unwrap();
    assert!(jobs().is_empty());
}

#[test]
fn locks_name_their_table_and_those_who_wait_for_whom() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    let locks = || match f.store.inspect(Inspect::Locks).unwrap() {
        Inspection::Locks(locks) => locks,
        other => panic!("{other:?}"),
    };
    assert!(locks().is_empty());
    let mut first = f.begin(2);
    first.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
    let mut second = f.begin(3);
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            second.update(P1, &[1], |k, v| (k, v + 1)).unwrap();
            second.commit().unwrap();
        });
        while f.store.statistics().lock_waiting == 0 {
            thread::yield_now();
        }
        let rows: Vec<_> = locks().into_iter().filter(|lock| lock.kind == LockKind::Row).collect();
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert!(rows.iter().all(|lock| lock.table == Some(f.def.id) && lock.key == rows[0].key));
        assert!(rows.iter().all(|lock| lock.mode == LockMode::Exclusive));
        assert_eq!((rows[0].txn, &rows[0].wait), (first.id, &None));
        assert_eq!(rows[1].txn, txn_id(3));
        assert_eq!(rows[1].wait.as_ref().map(|wait| wait.blockers.clone()), Some(vec![first.id]));
        assert!(locks().iter().any(|lock| lock.kind == LockKind::Table && lock.mode == LockMode::Intention));
        first.commit().unwrap();
        waiter.join().unwrap();
    });
    assert!(locks().is_empty());
}

#[test]
fn memory_is_that_of_the_budget() {
    let f = Fixture::small();
    f.put(1, P1, &[(1, 10)]);
    let Inspection::Memory(uses) = f.store.inspect(Inspect::Memory).unwrap() else { panic!() };
    let of = |name: &str| uses.iter().find(|one| one.name == name).unwrap();
    assert_eq!(of("total").bytes, f.options.memory.used() as u64);
    assert_eq!(of("total").limit, Some(256 << 20));
    assert!(of("unflushed rows").bytes > 0);
    let parts: u64 = uses.iter().filter(|one| one.name != "total").map(|one| one.bytes).sum();
    assert_eq!(parts, of("total").bytes);
}
