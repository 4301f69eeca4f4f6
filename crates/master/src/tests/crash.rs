//! A real process, killed while it writes.

use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Command as Process, Stdio};

const FOLDER: &str = "PANDO_TEST_CRASH_FOLDER";

/// Proposes until it is killed, and says what was confirmed. Started by the test below.
#[test]
#[ignore = "runs until it is killed"]
fn child() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let master = Master::open(small(folder.as_ref(), 1)).unwrap();
    let start = master.snapshot().global_variable("v").map_or(0, |v| v.parse::<u64>().unwrap() + 1);
    for i in start.. {
        propose(&master, set("v", i)).unwrap();
        eprintln!("confirmed {i}");
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = None;
    for round in 1..=4 {
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::crash::child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut confirmed = 0;
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while confirmed < round * 17 {
            let line = lines.next().expect("the child ended by itself").unwrap();
            if let Some(number) = line.strip_prefix("confirmed ") {
                last = Some(number.parse::<u64>().unwrap());
                confirmed += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // It may have confirmed more before it died.
        for line in lines.map_while(Result::ok) {
            if let Some(number) = line.strip_prefix("confirmed ").and_then(|n| n.parse().ok()) {
                last = Some(number);
            }
        }
        let master = Master::open(small(folder.path(), 1)).unwrap();
        let found: u64 = master.snapshot().global_variable("v").unwrap().parse().unwrap();
        assert!(
            Some(found) == last || Some(found) == last.map(|v| v + 1),
            "{last:?} was confirmed, {found} is there"
        );
        assert_eq!(master.snapshot().version(), found + 1);
    }
}
