//! The size and the names of source files: a file has one subject and says it in its name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// No Rust file is longer. There is no list of exceptions: a file that grows past it is split.
pub const LONGEST: usize = 800;

/// Names that gather the world.
const VAGUE: [&str; 6] = ["common", "util", "utils", "misc", "helper", "helpers"];

/// Marks of unfinished or forgotten code. Written in halves, so that this file has none.
const UNFINISHED: [&str; 3] = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];

/// One sentence for each file that breaks a rule.
pub fn violations(root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in ["crates", "bin", "tests", "benches"] {
        for path in rust_files(&root.join(folder))? {
            let text = fs::read_to_string(&path)?;
            let shown = path.strip_prefix(root).unwrap_or(&path);
            found.extend(file_violations(shown, &text));
        }
    }
    Ok(found)
}

fn file_violations(path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let shown = path.display();
    let lines = text.lines().count();
    if lines > LONGEST {
        found.push(format!("{shown} has {lines} lines, more than {LONGEST}: split it by subject"));
    }
    for part in path.iter().map(Path::new).filter_map(Path::file_stem).filter_map(|part| part.to_str()) {
        if VAGUE.contains(&part) {
            found.push(format!("{shown}: '{part}' names no subject"));
        }
    }
    for mark in UNFINISHED {
        if let Some(line) = text.lines().position(|line| line.contains(mark)) {
            found.push(format!("{shown}:{}: {mark}..)", line + 1));
        }
    }
    found
}

/// The Rust files below a folder, in order. A folder that is not there has none.
fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden && !path.ends_with("target") {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_rules_are_found() {
        let long = "//\n".repeat(LONGEST + 1);
        let unfinished = format!("fn f() {{\n    {})\n}}\n", UNFINISHED[0]);
        let cases = [
            ("crates/sql/src/parse.rs", "fn f() {}\n", None),
            ("crates/sql/src/parse.rs", &long, Some("801 lines")),
            ("crates/sql/src/utils.rs", "", Some("'utils' names no subject")),
            ("crates/common/src/lib.rs", "", Some("'common' names no subject")),
            ("crates/sql/src/parse.rs", &unfinished, Some("parse.rs:2:")),
        ];
        for (path, text, expected) in cases {
            let found = file_violations(Path::new(path), text);
            match expected {
                None => assert_eq!(found, Vec::<String>::new()),
                Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{found:?}"),
            }
        }
    }
}
