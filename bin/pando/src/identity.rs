//! Who a process is, kept in its data folder, so that it comes back as the same node:
//!
//! ```toml
//! # <data>/NODE
//! format = 1
//! node = 3
//! cluster = "00c0ffee00c0ffee"
//! role = "leaf"
//! ```
//!
//! Without it, the folder's data would belong to nobody: a process that finds it damaged does not start.

use crate::process::StartError;
use catalog::{Identity, NodeRole};
use serde::Deserialize;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use types::NodeId;

const FORMAT: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    format: u32,
    node: u32,
    cluster: String,
    role: String,
}

fn path(folder: &Path) -> PathBuf {
    folder.join("NODE")
}

const fn name(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Master => "master",
        NodeRole::Aggregator => "aggregator",
        NodeRole::Leaf => "leaf",
    }
}

/// The identity in a folder; `None` if the folder has none yet.
pub fn load(folder: &Path, role: NodeRole) -> Result<Option<Identity>, StartError> {
    let path = path(folder);
    let wrong = |what: String| StartError::new(format!("{}: {what}", path.display()));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let file: NodeFile = toml::from_str(&text).map_err(|error| wrong(error.message().to_string()))?;
    if file.format != FORMAT {
        return Err(wrong(format!("format {} is unknown to this version", file.format)));
    }
    if file.role != name(role) {
        return Err(wrong(format!("the folder is that of a node with the role {}", file.role)));
    }
    let cluster = u64::from_str_radix(&file.cluster, 16).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(Identity { node: NodeId(file.node), cluster }))
}

/// Keeps the identity; it is durable when this returns.
pub fn store(folder: &Path, role: NodeRole, identity: Identity) -> Result<(), StartError> {
    let path = path(folder);
    let text = format!(
        "format = {FORMAT}\nnode = {}\ncluster = \"{:016x}\"\nrole = \"{}\"\n",
        identity.node.0,
        identity.cluster,
        name(role)
    );
    let write = || -> std::io::Result<()> {
        let new = folder.join("NODE.new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| StartError::new(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_back_and_damage_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path(), NodeRole::Leaf).unwrap(), None);
        let identity = Identity { node: NodeId(3), cluster: u64::MAX - 1 };
        store(folder.path(), NodeRole::Leaf, identity).unwrap();
        assert_eq!(load(folder.path(), NodeRole::Leaf).unwrap(), Some(identity));
        let other = load(folder.path(), NodeRole::Master).unwrap_err().to_string();
        assert!(other.contains("role leaf"), "{other}");
        for bad in ["", "format = 2\nnode = 1\ncluster = \"1\"\nrole = \"leaf\"", "format = 1\nnode = 1"] {
            std::fs::write(folder.path().join("NODE"), bad).unwrap();
            let error = load(folder.path(), NodeRole::Leaf).unwrap_err().to_string();
            assert!(error.contains("NODE"), "{error}");
        }
    }
}
