//! Random commands against maps of names, with replays and snapshots in between.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};

#[derive(Debug, Clone)]
enum Step {
    Run(Box<Command>),
    /// The command that many steps ago, once more.
    Repeat(usize),
    /// Through the stored form and back.
    Reload,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    databases: BTreeMap<String, BTreeSet<String>>,
    users: BTreeSet<String>,
}

impl Model {
    /// The errno, or 0.
    fn run(&mut self, command: &Command) -> u16 {
        match command {
            Command::CreateDatabase { name, if_not_exists, .. } => {
                if self.databases.contains_key(name) {
                    return if *if_not_exists { 0 } else { 1007 };
                }
                self.databases.insert(name.clone(), BTreeSet::new());
                0
            }
            Command::DropDatabase { name, if_exists } => match self.databases.remove(name) {
                Some(_) => 0,
                None => u16::from(!if_exists) * 1008,
            },
            Command::CreateTable { database, def, if_not_exists } => match self.databases.get_mut(database) {
                None => 1049,
                Some(tables) => u16::from(!tables.insert(def.name.clone()) && !if_not_exists) * 1050,
            },
            Command::DropTable { database, name, if_exists } => match self.databases.get_mut(database) {
                None => u16::from(!if_exists) * 1049,
                Some(tables) => u16::from(!tables.remove(name) && !if_exists) * 1051,
            },
            Command::TruncateTable { database, name } => match self.databases.get(database) {
                None => 1049,
                Some(tables) if tables.contains(name) => 0,
                Some(_) => 1146,
            },
            Command::CreateUser { user, .. } => u16::from(!self.users.insert(user.name.clone())) * 1396,
            Command::DropUser { user, .. } => u16::from(!self.users.remove(&user.name)) * 1396,
            other => unreachable!("{other:?}"),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(vec!["a".to_string(), "b".into(), "c".into()]);
    let command = prop_oneof![
        (name(), 1..4u32, any::<bool>()).prop_map(|(name, partitions, if_not_exists)| {
            Command::CreateDatabase {
                name,
                partitions: Some(partitions),
                collation: types::Collation::default(),
                if_not_exists,
            }
        }),
        (name(), any::<bool>()).prop_map(|(name, if_exists)| Command::DropDatabase { name, if_exists }),
        (name(), name(), any::<bool>()).prop_map(|(database, name, if_not_exists)| {
            Command::CreateTable { database, def: table(&name), if_not_exists }
        }),
        (name(), name(), any::<bool>()).prop_map(|(database, name, if_exists)| Command::DropTable {
            database,
            name,
            if_exists
        }),
        (name(), name()).prop_map(|(database, name)| Command::TruncateTable { database, name }),
        name().prop_map(|name| create_user(&name)),
        name().prop_map(|name| Command::DropUser { user: UserName::new(name, "%"), if_exists: false }),
    ];
    prop_oneof![
        8 => command.prop_map(|command| Step::Run(Box::new(command))),
        1 => (1..20usize).prop_map(Step::Repeat),
        1 => Just(Step::Reload),
    ]
}

fn names(catalog: &Catalog) -> Model {
    Model {
        databases: catalog
            .databases()
            .map(|d| (d.name.clone(), catalog.tables(&d.name).map(|t| t.name.clone()).collect()))
            .collect(),
        users: catalog.users().map(|u| u.user.name.clone()).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_catalog_agrees_with_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let mut driver = Driver::with_leaves();
        let mut model = Model::default();
        let mut done = Vec::new();
        let mut given = HashSet::new();
        for step in steps {
            match step {
                Step::Run(command) => {
                    let result = driver.run(Command::clone(&command));
                    let errno = result.as_ref().map_or_else(|error| error.kind.errno(), |_| 0);
                    prop_assert_eq!(errno, model.run(&command), "{:?}", command);
                    if let Ok(Outcome::TableCreated(new) | Outcome::TableTruncated { new, .. }) = &result {
                        prop_assert!(given.insert(new.id), "a table id came back");
                    }
                    done.push((driver.number, command, result));
                }
                Step::Repeat(back) => {
                    if let Some((number, command, result)) = done.iter().rev().nth(back) {
                        let before = driver.catalog.clone();
                        let id = CommandId { node: NodeId(1), number: *number };
                        prop_assert_eq!(&driver.catalog.apply(id, command), result);
                        prop_assert_eq!(&driver.catalog, &before);
                    }
                }
                Step::Reload => {
                    let bytes = driver.catalog.encode();
                    let back = Catalog::decode(&bytes).unwrap();
                    prop_assert_eq!(&back, &driver.catalog);
                    prop_assert_eq!(back.encode(), bytes);
                    driver.catalog = back;
                }
            }
            prop_assert_eq!(names(&driver.catalog), model.clone());
            for table in model.databases.keys().flat_map(|d| driver.catalog.tables(d)) {
                prop_assert_eq!(driver.catalog.table_by_id(table.id), Some(table));
                prop_assert_eq!(&driver.catalog.database_by_id(table.database).unwrap().id, &table.database);
            }
        }
    }
}
