use super::*;
use crate::LockHolder;

fn of(session: u64) -> LockHolder {
    LockHolder { node: NodeId(9), start: 1, session }
}

fn take(name: &str, session: u64, waits: bool) -> Command {
    Command::TakeLock { name: name.into(), holder: of(session), waits }
}

fn release(name: &str, session: u64) -> Command {
    Command::ReleaseLock { name: name.into(), holder: of(session) }
}

const DEADLOCK: &str = "ERROR 3058 (HY000): Deadlock found when trying to get user-level lock; try rolling back \
                        transaction/releasing locks and restarting lock acquisition.";

#[test]
fn a_lock_has_one_holder_who_may_take_it_again() {
    let mut driver = Driver::default();
    let find = |name: &str| Command::FindLock { name: name.into() };
    for (command, outcome, version) in [
        (find("a"), Outcome::LockFree, 0),
        (release("a", 1), Outcome::LockFree, 0),
        (take("a", 1, false), Outcome::LockTaken, 1),
        (take("a", 2, true), Outcome::LockHeld(of(1)), 1),
        (release("a", 2), Outcome::LockHeld(of(1)), 1),
        (take("a", 1, true), Outcome::LockTaken, 2),
        (release("a", 1), Outcome::LockReleased { left: 1 }, 3),
        (find("a"), Outcome::LockHeld(of(1)), 3),
        (release("a", 1), Outcome::LockReleased { left: 0 }, 4),
        (take("a", 2, true), Outcome::LockTaken, 5),
        (take("b", 2, true), Outcome::LockTaken, 6),
        (take("b", 2, true), Outcome::LockTaken, 7),
        (take("c", 1, true), Outcome::LockTaken, 8),
        (Command::ReleaseLocks { holder: of(2) }, Outcome::LocksReleased { count: 3 }, 9),
        (Command::ReleaseLocks { holder: of(2) }, Outcome::LocksReleased { count: 0 }, 9),
        // The same session of another start of the aggregator.
        (
            Command::ReleaseLocks { holder: LockHolder { start: 2, ..of(1) } },
            Outcome::LocksReleased { count: 0 },
            9,
        ),
    ] {
        assert_eq!(driver.run(command.clone()).unwrap(), outcome, "{command:?}");
        assert_eq!(driver.catalog.version(), version, "{command:?}");
    }
    assert_eq!(driver.catalog.lock_holders().collect::<Vec<_>>(), [of(1)]);
    assert!(driver.catalog.user_lock("c").is_some() && driver.catalog.user_lock("a").is_none());
}

#[test]
fn who_would_wait_for_itself_is_told() {
    let mut driver = Driver::default();
    for (name, session) in [("a", 1), ("b", 2), ("c", 3)] {
        driver.run(take(name, session, true)).unwrap();
    }
    assert_eq!(driver.run(take("b", 1, true)), Ok(Outcome::LockHeld(of(2))));
    assert_eq!(driver.run(take("c", 2, true)), Ok(Outcome::LockHeld(of(3))));
    assert_eq!(
        driver.run(take("a", 3, false)),
        Ok(Outcome::LockHeld(of(1))),
        "who does not wait closes no circle"
    );
    assert_eq!(driver.fails(take("a", 3, true)), DEADLOCK);
    // Who holds nothing may wait for anybody.
    assert_eq!(driver.run(take("a", 4, true)), Ok(Outcome::LockHeld(of(1))));
    assert_eq!(driver.catalog.lock_waits.len(), 2);

    // A wait that ended is none, and one that came to its lock neither.
    assert_eq!(driver.run(Command::EndLockWait { holder: of(2) }), Ok(Outcome::LockWaitEnded));
    assert_eq!(driver.run(take("a", 3, true)), Ok(Outcome::LockHeld(of(1))));
    assert_eq!(driver.run(release("b", 2)), Ok(Outcome::LockReleased { left: 0 }));
    assert_eq!(driver.run(take("b", 1, true)), Ok(Outcome::LockTaken));
    assert_eq!(driver.run(take("b", 3, true)), Ok(Outcome::LockHeld(of(1))));

    // The circle closes over a lock that passed on.
    assert_eq!(driver.fails(take("c", 1, true)), DEADLOCK);
    driver.run(Command::ReleaseLocks { holder: of(3) }).unwrap();
    assert!(driver.catalog.lock_waits.is_empty());
    assert_eq!(driver.run(take("c", 1, true)), Ok(Outcome::LockTaken));
}
