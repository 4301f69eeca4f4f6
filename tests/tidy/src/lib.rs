//! Rules of the workspace that a machine can check.
//!
//! - [`arrows`]: which crate may depend on which.
//! - [`sources`]: the size and the names of source files.
//! - [`licences`]: under which licences the dependencies may be.
//!
//! The tests of this crate apply the rules to the workspace itself, and try each rule on something
//! made up that breaks it.

pub mod arrows;
pub mod licences;
pub mod sources;

use cargo_metadata::{Metadata, MetadataCommand};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub fn root() -> PathBuf {
    // As cargo says when it runs the tests: a build folder may be shared by several checkouts.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = Path::new(&here);
    // Invariant: this crate lies in tests/tidy.
    here.ancestors().nth(2).expect("the crate lies two folders below the root").to_owned()
}

/// What cargo knows of the workspace and its dependencies on this platform, without the network.
pub fn metadata() -> Result<Metadata, String> {
    let platform = host_platform()?;
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--offline".to_owned(), "--filter-platform".to_owned(), platform])
        .exec()
        .map_err(|error| error.to_string())
}

fn host_platform() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().map_err(|error| format!("rustc -vV: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_none(violations: Vec<String>) {
        assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
    }

    #[test]
    fn arrows_of_the_workspace() {
        assert_none(arrows::violations(&arrows::Graph::of(&metadata().unwrap(), &root())));
    }

    #[test]
    fn licences_of_the_workspace() {
        assert_none(licences::violations(&metadata().unwrap()));
    }

    #[test]
    fn sources_of_the_workspace() {
        assert_none(sources::violations(&root()).unwrap());
    }
}
