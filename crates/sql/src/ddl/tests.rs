//! Definitions: checks, errors, and the round trip through SHOW CREATE TABLE.

use super::*;
use crate::parse::parse_one;
use crate::statement::Statement;
use proptest::prelude::*;
use types::KeyDef;
use types::sql_type::LobSize;

fn def(sql: &str) -> Result<TableDef> {
    match parse_one(sql)?.statement {
        Statement::CreateTable(create) => table_def(&create),
        other => panic!("{other:?}"),
    }
}

fn columns(ids: &[u32]) -> Vec<ColumnId> {
    ids.iter().copied().map(ColumnId).collect()
}

#[test]
fn keys_and_defaults() {
    let def = def("CREATE TABLE lineitem (
        l_orderkey BIGINT NOT NULL, l_linenumber INT, l_quantity DECIMAL(15,2) NOT NULL DEFAULT 0,
        l_comment VARCHAR(44) COMMENT 'it''s', at TIMESTAMP(3) NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE NOW(3),
        PRIMARY KEY (l_orderkey, l_linenumber) USING BTREE, KEY (l_comment), KEY by_at (at DESC),
        SHARD KEY (l_orderkey), SORT KEY (at)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='lines'")
    .unwrap();
    assert_eq!(def.shown().len(), 5);
    assert_eq!(def.next_column_id, ColumnId(7));
    assert_eq!(def.primary_key, columns(&[1, 2]));
    assert_eq!(def.shard_key, columns(&[1]));
    assert_eq!(def.sort_key, columns(&[5]));
    assert!(!def.columns[1].nullable, "columns of the primary key are NOT NULL");
    assert_eq!(def.columns[2].default, ColumnDefault::Literal("0.00".into()));
    assert_eq!(def.columns[4].default, ColumnDefault::CurrentTimestamp);
    assert!(def.columns[4].on_update_now);
    assert_eq!(
        def.keys,
        [
            // By the collation key of the text.
            KeyDef { name: "l_comment".into(), columns: columns(&[6]), unique: false },
            KeyDef { name: "by_at".into(), columns: columns(&[5]), unique: false },
        ]
    );
    assert_eq!(def.comment, "lines");
    assert_eq!(
        show_create_table(&def, None),
        "CREATE TABLE `lineitem` (\n  `l_orderkey` bigint NOT NULL,\n  `l_linenumber` int NOT NULL,\n  \
         `l_quantity` decimal(15,2) NOT NULL DEFAULT '0.00',\n  `l_comment` varchar(44) DEFAULT NULL COMMENT \
         'it''s',\n  `at` timestamp(3) NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),\n  \
         PRIMARY KEY (`l_orderkey`,`l_linenumber`),\n  KEY `l_comment` (`l_comment`),\n  KEY `by_at` \
         (`at`),\n  SHARD KEY (`l_orderkey`),\n  SORT KEY (`at`)\n) ENGINE=Pando DEFAULT CHARSET=utf8mb4 \
         COLLATE=utf8mb4_general_ci COMMENT='lines'"
    );
    let rows = columns_rows(&def);
    assert_eq!((rows[0].key, rows[0].null, rows[0].ty.as_str()), ("PRI", "NO", "bigint"));
    assert_eq!(rows[4].extra, "DEFAULT_GENERATED on update CURRENT_TIMESTAMP(3)");
    assert_eq!((rows[4].key, rows[4].default.as_deref()), ("MUL", Some("CURRENT_TIMESTAMP(3)")));
}

#[test]
fn shard_key_defaults() {
    assert_eq!(def("CREATE TABLE t (a int PRIMARY KEY)").unwrap().shard_key, columns(&[1]));
    assert_eq!(def("CREATE TABLE t (a int)").unwrap().shard_key, columns(&[]));
    assert_eq!(def("CREATE TABLE t (a int, SHARD KEY ())").unwrap().shard_key, columns(&[]));
    let unique = def("CREATE TABLE t (a int, b int, UNIQUE KEY u (a, b), SHARD KEY (b))").unwrap();
    assert_eq!(columns_rows(&unique)[0].key, "MUL");
    // SERIAL is a unique key too; it contains the shard key.
    let auto = def("CREATE TABLE t (id SERIAL PRIMARY KEY, shard int, sort int)").unwrap();
    assert!(auto.columns[0].auto_increment && auto.keys[0].unique);
}

#[test]
fn reference_tables_have_no_shard_key() {
    let made = def(
        "CREATE REFERENCE TABLE t (a int PRIMARY KEY, b int, UNIQUE KEY (b), SORT KEY (b)) COMMENT 'few'",
    )
    .unwrap();
    assert!(made.reference && made.shard_key.is_empty());
    assert_eq!(made.primary_key, columns(&[1]));
    assert_eq!(
        show_create_table(&made, None),
        "CREATE REFERENCE TABLE `t` (\n  `a` int NOT NULL,\n  `b` int DEFAULT NULL,\n  PRIMARY KEY (`a`),\n  \
         UNIQUE KEY `b` (`b`),\n  SORT KEY (`b`)\n) ENGINE=Pando DEFAULT CHARSET=utf8mb4 \
         COLLATE=utf8mb4_bin COMMENT='few'"
    );
    let alter = |rest: &str| match parse_one(&format!("ALTER TABLE t {rest}"))?.statement {
        Statement::AlterTable(alter) => altered(&made, &alter, &Context::fixed(), false, false),
        other => panic!("{other:?}"),
    };
    for rest in
        ["drop primary key", "drop primary key, add primary key (b, a)", "drop a", "drop b, add unique (a)"]
    {
        let def = alter(rest).unwrap_or_else(|e| panic!("{rest}: {e}")).def;
        assert!(def.reference && def.shard_key.is_empty(), "{rest}");
    }
    for error in [
        def("CREATE REFERENCE TABLE t (a int, SHARD KEY (a))").unwrap_err(),
        alter("add shard key (a)").unwrap_err(),
        alter("drop shard key").unwrap_err(),
    ] {
        assert_eq!(error.kind.errno(), 1221, "{error}");
    }
}

#[test]
fn errors_are_mysqls() {
    for (sql, errno, message) in [
        ("CREATE TABLE t (a int, A int)", 1060, "Duplicate column name 'A'"),
        ("CREATE TABLE t (a int PRIMARY KEY, b int, PRIMARY KEY (b))", 1068, "Multiple primary key defined"),
        ("CREATE TABLE t (a int, KEY (z))", 1072, "Key column 'z' doesn't exist in table"),
        ("CREATE TABLE t (a int, SHARD KEY (z))", 1072, "Key column 'z' doesn't exist in table"),
        ("CREATE TABLE t (a int DEFAULT 'x')", 1067, "Invalid default value for 'a'"),
        ("CREATE TABLE t (a int NOT NULL DEFAULT NULL)", 1067, "Invalid default value for 'a'"),
        ("CREATE TABLE t (a int PRIMARY KEY DEFAULT NULL)", 1067, "Invalid default value for 'a'"),
        ("CREATE TABLE t (a date DEFAULT '2024-02-30')", 1067, "Invalid default value for 'a'"),
        ("CREATE TABLE t (a datetime(3) DEFAULT CURRENT_TIMESTAMP)", 1067, "Invalid default value for 'a'"),
        (
            "CREATE TABLE t (a varchar(20000))",
            1074,
            "Column length too big for column 'a' (max = 16383); use BLOB or TEXT instead",
        ),
        (
            "CREATE TABLE t (a char(256))",
            1074,
            "Column length too big for column 'a' (max = 255); use BLOB or TEXT instead",
        ),
        ("CREATE TABLE t (KEY (a))", 1113, "A table must have at least 1 column"),
        (
            "CREATE TABLE t (a int AUTO_INCREMENT)",
            1075,
            "Incorrect table definition; there can be only one auto column and it must be defined as a key",
        ),
        ("CREATE TABLE t (a int, b int, KEY k (a), KEY K (b))", 1061, "Duplicate key name 'K'"),
        ("CREATE TABLE t (`a ` int)", 1166, "Incorrect column name 'a '"),
    ] {
        let error = def(sql).unwrap_err();
        assert_eq!((error.kind.errno(), error.message.as_str()), (errno, message), "{sql}");
    }
    for (sql, message) in [
        ("CREATE TABLE t (a decimal(5,31))", "Too big scale 31 specified for column 'a'. Maximum is 30."),
        (
            "CREATE TABLE t (a decimal(5,6))",
            "For float(M,D), double(M,D) or decimal(M,D), M must be >= D (column 'a').",
        ),
        ("CREATE TABLE t (a datetime(7))", "Too-big precision 7 specified for 'a'. Maximum is 6."),
        (
            "CREATE TABLE t (a text DEFAULT 'x')",
            "BLOB, TEXT, GEOMETRY or JSON column 'a' can't have a default value",
        ),
        (
            "CREATE TABLE t (a text PRIMARY KEY)",
            "BLOB/TEXT column 'a' used in key specification without a key length",
        ),
        ("CREATE TABLE t (a int ON UPDATE NOW())", "Invalid ON UPDATE clause for 'a' column"),
        (
            "CREATE TABLE t (a varchar(3) AUTO_INCREMENT PRIMARY KEY)",
            "Incorrect column specifier for column 'a'",
        ),
        (
            "CREATE TABLE t (a int NULL PRIMARY KEY)",
            "All parts of a PRIMARY KEY must be NOT NULL; if you need NULL in a key, use UNIQUE instead",
        ),
        (
            "CREATE TABLE t (a int PRIMARY KEY, b int UNIQUE)",
            "Pando doesn't yet support 'the unique key b without all columns of the shard key, which is (a), in a database of several \
             partitions'",
        ),
        ("CREATE TABLE t (a int, __key_1 int)", "Incorrect column name '__key_1'"),
        (
            "CREATE TABLE t (a int PRIMARY KEY, b int, SHARD KEY (b))",
            "Pando doesn't yet support 'the unique key PRIMARY without all columns of the shard key, which is (b), in a database of \
             several partitions'",
        ),
        (
            "CREATE TABLE t (a int, b int UNIQUE)",
            "Pando doesn't yet support 'the unique key b without all columns of the shard key, which is none; \
             give one with SHARD KEY (..), in a database of several partitions'",
        ),
    ] {
        assert_eq!(def(sql).unwrap_err().message, message, "{sql}");
    }
}

#[test]
fn types() {
    let def = def("CREATE TABLE t (
        a tinyint(1), b tinyint, c smallint unsigned, d mediumint, e integer(11), f bigint unsigned, g bool,
        h dec(5), i numeric(20,4), j float, k float(30), l double precision, m real, n date, o time(6),
        p datetime, q timestamp, r year(4), s char, t char(10) binary, u varchar(255) character set utf8mb4,
        v text, w text(100), x blob(70000), y binary(16), z varbinary(8), aa longtext, ab tinyblob,
        ac national varchar(5), ad character varying(7), ae int signed)")
    .unwrap();
    use SqlType::*;
    let types: Vec<SqlType> = def.columns.iter().map(|c| c.ty).collect();
    assert_eq!(
        types,
        [
            Bool,
            TinyInt { unsigned: false },
            SmallInt { unsigned: true },
            MediumInt { unsigned: false },
            Int { unsigned: false },
            BigInt { unsigned: true },
            Bool,
            Decimal { precision: 5, scale: 0 },
            Decimal { precision: 20, scale: 4 },
            Float,
            Double,
            Double,
            Double,
            Date,
            Time { fsp: 6 },
            DateTime { fsp: 0 },
            Timestamp { fsp: 0 },
            Year,
            Char(1),
            Char(10),
            VarChar(255),
            Text(LobSize::Normal),
            Text(LobSize::Normal),
            Blob(LobSize::Medium),
            Binary(16),
            VarBinary(8),
            Text(LobSize::Long),
            Blob(LobSize::Tiny),
            VarChar(5),
            VarChar(7),
            Int { unsigned: false },
        ]
    );
}

fn any_type() -> impl Strategy<Value = SqlType> {
    use SqlType::*;
    prop_oneof![
        any::<bool>().prop_map(|unsigned| TinyInt { unsigned }),
        Just(Bool),
        any::<bool>().prop_map(|unsigned| SmallInt { unsigned }),
        any::<bool>().prop_map(|unsigned| MediumInt { unsigned }),
        any::<bool>().prop_map(|unsigned| Int { unsigned }),
        any::<bool>().prop_map(|unsigned| BigInt { unsigned }),
        (1u8..39)
            .prop_flat_map(|p| (Just(p), 0..=p.min(30)))
            .prop_map(|(precision, scale)| Decimal { precision, scale }),
        Just(Float),
        Just(Double),
        Just(Date),
        (0u8..7).prop_map(|fsp| Time { fsp }),
        (0u8..7).prop_map(|fsp| DateTime { fsp }),
        (0u8..7).prop_map(|fsp| Timestamp { fsp }),
        Just(Year),
        (0u32..256).prop_map(Char),
        (0u32..16_384).prop_map(VarChar),
        Just(Text(LobSize::Medium)),
        (0u32..256).prop_map(Binary),
        (0u32..65_536).prop_map(VarBinary),
        Just(Blob(LobSize::Tiny)),
    ]
}

prop_compose! {
    fn any_column()(
        name in "[a-zA-Z`' é]{1,12}[a-z]",
        ty in any_type(),
        nullable in any::<bool>(),
        now in any::<bool>(),
        literal in any::<bool>(),
        comment in "[a-z'\\\\\n]{0,6}",
    ) -> ColumnDef {
        let moment = matches!(ty, SqlType::DateTime { .. } | SqlType::Timestamp { .. });
        let lob = matches!(ty, SqlType::Text(_) | SqlType::Blob(_));
        let default = if now && moment {
            ColumnDefault::CurrentTimestamp
        } else if literal && ty.is_integer() {
            ColumnDefault::Literal(if ty == SqlType::Year { "2007" } else { "7" }.into())
        } else if nullable {
            ColumnDefault::Null
        } else {
            ColumnDefault::None
        };
        ColumnDef {
            id: ColumnId(0), name, ty, nullable, default, auto_increment: false,
            initial: None,
            collation: types::Collation::default(),
            on_update_now: now && moment && !lob, comment,
        }
    }
}

prop_compose! {
    fn any_table()(
        name in "[a-z`\"]{1,8}",
        columns in prop::collection::vec(any_column(), 1..6),
        sharded in any::<bool>(),
        keyed in any::<bool>(),
        reference in any::<bool>(),
        comment in "[a-z']{0,5}",
    ) -> TableDef {
        let mut columns = columns;
        for (place, column) in columns.iter_mut().enumerate() {
            column.id = ColumnId(place as u32 + 1);
            column.name.push_str(&place.to_string());
        }
        let first = vec![ColumnId(1)];
        let keys = if keyed {
            vec![KeyDef { name: "k`".into(), columns: vec![ColumnId(columns.len() as u32)], unique: false }]
        } else {
            Vec::new()
        };
        let sort_key = if sharded { first } else { Vec::new() };
        let shard_key = if reference { Vec::new() } else { sort_key.clone() };
        TableDef {
            id: TableId(0), database: DatabaseId(0), name, version: 0,
            next_column_id: ColumnId(columns.len() as u32 + 1), columns,
            sort_key, shard_key, primary_key: Vec::new(), keys, checks: Vec::new(),
            foreign_keys: Vec::new(), comment, collation: types::Collation::default(),
            replacement: None,
            reference,
        }
    }
}

proptest! {
    #[test]
    fn show_create_table_reads_back(table in any_table()) {
        let text = show_create_table(&table, None);
        prop_assert_eq!(def(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?, table);
    }
}

#[test]
fn keys_of_collated_texts_have_their_collation_keys() {
    let def = def(
        "CREATE TABLE t (a varchar(5), b varchar(5) COLLATE utf8mb4_bin, c text, PRIMARY KEY (b, a), KEY k (c), \
         UNIQUE KEY u (a, b)) COLLATE utf8mb4_0900_ai_ci",
    )
    .unwrap();
    let ids = columns;
    assert_eq!(def.shown().len(), 3);
    assert_eq!(def.columns.len(), 5);
    assert_eq!(def.columns[3].default, ColumnDefault::CollationKey(ColumnId(1)));
    assert!(!def.columns[3].nullable && def.columns[4].nullable);
    assert_eq!(def.primary_key, ids(&[2, 4]));
    assert_eq!(def.shard_key, ids(&[2, 4]));
    let keys: Vec<_> = def.keys.iter().map(|key| (key.name.as_str(), key.columns.clone())).collect();
    assert_eq!(keys, [("u", ids(&[4, 2])), ("k", ids(&[5]))]);
    assert_eq!(def.column_named("__key_1"), None);
    let shown = show_create_table(&def, None);
    for line in ["PRIMARY KEY (`b`,`a`)", "UNIQUE KEY `u` (`a`,`b`)", "  KEY `k` (`c`)"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(!shown.contains("__key"), "{shown}");
    assert!(show_create_table(&def, Some(7)).contains(" ENGINE=Pando AUTO_INCREMENT=7 DEFAULT "));
    assert_eq!(show_create_table(&def, Some(1)), shown);
    let keys: Vec<_> = columns_rows(&def).into_iter().map(|row| (row.field, row.key)).collect();
    assert_eq!(keys, [("a".to_string(), "PRI"), ("b".to_string(), "PRI"), ("c".to_string(), "MUL")]);
}
