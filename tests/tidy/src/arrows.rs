//! Which crate may depend on which.
//!
//! The crates of the product lie in `crates/` and form one list, [`ORDER`]: a crate may depend on those
//! before it. Packages in `bin/`, `tests/` and `benches/` compose; no crate may depend on them. Servers
//! meet on the wire, never as crates. A few outside libraries may only be used in one place, or must
//! not be reached at all, however long the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata};

/// The crates of the product, from the ground up. Docs: the code map in docs/ARCHITECTURE.md.
pub const ORDER: [&str; 16] = [
    "types",
    "env",
    "proto",
    "catalog",
    "txn",
    "replication",
    "columnstore",
    "mysql",
    "sql",
    "exec",
    "planner",
    "rpc",
    "leaf",
    "aggregator",
    "master",
    "operator",
];

/// Roles that must not know each other.
const SERVERS: [&str; 4] = ["aggregator", "leaf", "master", "operator"];

/// A crate, and libraries that it must not reach: pure words and synchronous storage stay so.
const UNREACHABLE: [(&str, &[&str]); 2] =
    [("types", &["tokio"]), ("columnstore", &["tokio", "tonic", "datafusion"])];

/// A library, and the only crate that may name it.
const CONFINED: [(&str, &str); 2] = [("rocksdb", "master"), ("kube", "operator")];

/// Where a package of the workspace lies, or that it comes from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `crates/<name>`
    Crate(String),
    /// Anywhere else in the workspace.
    Composing(String),
    Outside(String),
}

#[derive(Debug, Clone)]
pub struct Package {
    pub place: Place,
    /// Ids of the packages that it needs to be built and run; not those of its tests.
    pub needs: BTreeSet<String>,
    /// Ids of the packages that only its tests need.
    pub tests_need: BTreeSet<String>,
}

/// The packages by id.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub packages: BTreeMap<String, Package>,
}

impl Package {
    /// The name that rules use: the folder of a crate, else the package's name.
    fn name(&self) -> &str {
        match &self.place {
            Place::Crate(name) | Place::Composing(name) | Place::Outside(name) => name,
        }
    }
}

impl Graph {
    pub fn of(metadata: &Metadata, root: &Path) -> Graph {
        let mut graph = Graph::default();
        for package in &metadata.packages {
            let folder = package.manifest_path.parent().and_then(|f| f.as_std_path().strip_prefix(root).ok());
            let ours = metadata.workspace_members.contains(&package.id);
            let place = match folder {
                Some(folder) if ours => match folder.strip_prefix("crates") {
                    Ok(name) => Place::Crate(name.to_string_lossy().into_owned()),
                    Err(_) => Place::Composing(folder.to_string_lossy().into_owned()),
                },
                _ => Place::Outside(package.name.to_string()),
            };
            let (needs, tests_need) = Default::default();
            graph.packages.insert(package.id.repr.clone(), Package { place, needs, tests_need });
        }
        for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
            let Some(package) = graph.packages.get_mut(&node.id.repr) else { continue };
            for dependency in &node.deps {
                let only_tests =
                    dependency.dep_kinds.iter().all(|kind| kind.kind == DependencyKind::Development);
                let set = if only_tests { &mut package.tests_need } else { &mut package.needs };
                set.insert(dependency.pkg.repr.clone());
            }
        }
        graph
    }

    fn get<'a>(&'a self, ids: &'a BTreeSet<String>) -> impl Iterator<Item = (&'a String, &'a Package)> {
        ids.iter().filter_map(|id| self.packages.get_key_value(id))
    }

    /// The shortest way from a package to one that `found` accepts, as names.
    fn way(&self, from: &str, found: impl Fn(&Package) -> bool) -> Option<Vec<String>> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(id) = queue.pop_front() {
            let Some(package) = self.packages.get(id) else { continue };
            if id != from && found(package) {
                let mut names = vec![package.name().to_owned()];
                let mut at = id;
                while let Some(&before) = came_from.get(at) {
                    names.push(self.packages[before].name().to_owned());
                    at = before;
                }
                names.reverse();
                return Some(names);
            }
            for (next, _) in self.get(&package.needs) {
                if next != from && !came_from.contains_key(next.as_str()) {
                    came_from.insert(next, id);
                    queue.push_back(next);
                }
            }
        }
        None
    }
}

/// One sentence for each arrow that must not be there.
pub fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    let rank = |name: &str| ORDER.iter().position(|known| *known == name);
    for (id, package) in &graph.packages {
        let name = package.name();
        if matches!(package.place, Place::Outside(_)) {
            continue;
        }
        for (library, owner) in CONFINED {
            let mut needed = graph.get(&package.needs).chain(graph.get(&package.tests_need));
            if name != owner && needed.any(|(_, other)| is_library(other, library)) {
                found.push(format!("{name} depends on {library}, which only {owner} may use"));
            }
        }
        let Place::Crate(_) = package.place else { continue };
        let Some(own_rank) = rank(name) else {
            found.push(format!("crates/{name} has no place in the order of crates"));
            continue;
        };
        for (_, other) in graph.get(&package.needs).chain(graph.get(&package.tests_need)) {
            let target = other.name();
            match &other.place {
                Place::Composing(_) => {
                    found.push(format!("{name} depends on {target}: crates are not built from programs"));
                }
                Place::Crate(_) if SERVERS.contains(&name) && SERVERS.contains(&target) => {
                    found.push(format!("{name} depends on {target}: servers meet only on the wire"));
                }
                Place::Crate(_) if rank(target).is_some_and(|rank| rank >= own_rank) => {
                    found.push(format!("{name} depends on {target}, which comes after it"));
                }
                _ => {}
            }
        }
        for library in UNREACHABLE.iter().filter(|rule| rule.0 == name).flat_map(|rule| rule.1) {
            if let Some(way) = graph.way(id, |other| is_library(other, library)) {
                found.push(format!("{name} reaches {library}: {}", way.join(" -> ")));
            }
        }
    }
    found
}

/// `datafusion` stands for `datafusion-expr` and its other parts too.
fn is_library(package: &Package, library: &str) -> bool {
    match &package.place {
        Place::Outside(name) => {
            name.strip_prefix(library).is_some_and(|r| r.is_empty() || r.starts_with('-'))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a graph from lines like `sql: types mysql datafusion`; a name with a slash lies outside
    /// of `crates/`, a known crate in it, and anything else outside of the workspace.
    fn graph(text: &str) -> Graph {
        let mut graph = Graph::default();
        let place = |name: &str| match name.strip_prefix("crates/") {
            Some(name) => Place::Crate(name.to_owned()),
            None if name.contains('/') => Place::Composing(name.to_owned()),
            None if ORDER.contains(&name) => Place::Crate(name.to_owned()),
            None => Place::Outside(name.to_owned()),
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (from, to) = line.split_once(':').unwrap();
            for name in std::iter::once(from).chain(to.split_whitespace()) {
                let name = name.trim_start_matches("test=");
                let (needs, tests_need) = Default::default();
                let package = Package { place: place(name), needs, tests_need };
                graph.packages.entry(name.to_owned()).or_insert(package);
            }
            let package = graph.packages.get_mut(from).unwrap();
            for name in to.split_whitespace() {
                match name.strip_prefix("test=") {
                    Some(name) => package.tests_need.insert(name.to_owned()),
                    None => package.needs.insert(name.to_owned()),
                };
            }
        }
        graph
    }

    #[test]
    fn allowed_arrows() {
        let good = graph(
            "types: arrow serde
             env: types
             catalog: types serde
             columnstore: types env txn arrow test=proptest test=tokio
             mysql: types tokio
             sql: types datafusion datafusion-expr
             aggregator: mysql sql catalog
             leaf: columnstore tokio
             master: catalog rocksdb tokio
             operator: kube-runtime tokio
             bin/pando: aggregator leaf master columnstore
             tests/sim: columnstore",
        );
        assert_eq!(violations(&good), Vec::<String>::new());
    }

    #[test]
    fn forbidden_arrows() {
        let cases = [
            ("types: tokio", "types reaches tokio: types -> tokio"),
            ("types: arrow\narrow: bytes tokio", "types reaches tokio: types -> arrow -> tokio"),
            (
                "columnstore: env\nenv: x\nx: tokio",
                "columnstore reaches tokio: columnstore -> env -> x -> tokio",
            ),
            ("columnstore: tonic", "columnstore reaches tonic: columnstore -> tonic"),
            (
                "columnstore: datafusion-common",
                "columnstore reaches datafusion: columnstore -> datafusion-common",
            ),
            ("env: catalog", "env depends on catalog, which comes after it"),
            ("txn: test=columnstore", "txn depends on columnstore, which comes after it"),
            ("mysql: sql", "mysql depends on sql, which comes after it"),
            ("aggregator: leaf", "aggregator depends on leaf: servers meet only on the wire"),
            ("leaf: master", "leaf depends on master: servers meet only on the wire"),
            ("master: test=aggregator", "master depends on aggregator: servers meet only on the wire"),
            ("leaf: rocksdb", "leaf depends on rocksdb, which only master may use"),
            ("bin/pando: rocksdb", "bin/pando depends on rocksdb, which only master may use"),
            ("aggregator: kube-client", "aggregator depends on kube, which only operator may use"),
            ("exec: bin/pando", "exec depends on bin/pando: crates are not built from programs"),
            ("crates/extra: types", "crates/extra has no place in the order of crates"),
        ];
        for (text, expected) in cases {
            assert_eq!(violations(&graph(text)), [expected], "{text}");
        }
    }

    #[test]
    fn the_workspace_with_one_more_arrow_fails() {
        let mut graph = Graph::of(&crate::metadata().unwrap(), &crate::root());
        let before = violations(&graph).len();
        let types = graph.packages.values_mut().find(|package| package.name() == "types").unwrap();
        types.needs.insert("a runtime".to_owned());
        let place = Place::Outside("tokio".to_owned());
        let (needs, tests_need) = Default::default();
        graph.packages.insert("a runtime".to_owned(), Package { place, needs, tests_need });
        assert!(violations(&graph).len() > before);
    }
}
