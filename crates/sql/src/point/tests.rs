use super::*;
use crate::convert::value_at;
use crate::statement::Statement;

fn def(sql: &str) -> TableDef {
    match parse_one(sql).unwrap().statement {
        Statement::CreateTable(create) => crate::ddl::table_def(&create).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn table() -> TableDef {
    def("create table t (a int, b varchar(5), k int not null, u bigint unsigned, d decimal(5,2), \
         x varchar(3), primary key (a, b))")
}

fn point(sql: &str) -> Option<PointStatement> {
    PointStatement::of(&parse_one(sql).unwrap().statement, &table())
}

/// What is no point statement is found out without taking the stack that a thread has.
#[test]
fn deep_statements_are_no_point_statements() {
    let unions = vec!["SELECT 1"; 400].join(" UNION ALL ");
    let text = format!("SELECT id, ({unions}) FROM t WHERE id = 1");
    assert!(point(&text).is_none());
}

#[test]
fn statements_by_the_whole_key_are_point_statements() {
    for sql in [
        "select k, x from t where a = 1 and b = 'x'",
        "select * from t where b = ? and (a = ?) limit 1",
        "select r.k as kk, r.a from t as r where r.b = 'x' and 5 = r.a",
        "select K from t where A in (1) and B = 'x'",
        "update t set k = k + 1, x = 'y' where a = 1 and b = 'x'",
        "update t set d = d - 1.25, k = k + 1 where a = 1 and b = 'x'",
        "update t set t.k = 5, d = null where t.a = 1 and t.b = 'x'",
        "delete from t where a = 1 and b = ''",
        "insert into t values (1, 'x', 2, 3, 4, 5), (?, ?, ?, ?, ?, now())",
        "replace into t (a, b, k) values (1, 'x', 2)",
        "insert ignore into t set a = 1, b = 'x', k = 2",
    ] {
        assert!(point(sql).is_some(), "{sql}");
    }
}

/// The values of the conditions of a statement on few rows.
fn few(sql: &str, values: &[Value]) -> Option<Vec<Condition>> {
    let conditions = match point(sql) {
        Some(PointStatement::SelectFew(select)) => select.conditions,
        Some(PointStatement::Update(PointUpdate { wanted: Wanted::Few(conditions), .. }))
        | Some(PointStatement::Delete(Wanted::Few(conditions))) => conditions,
        other => panic!("{sql}: {other:?}"),
    };
    conditions.values(&table(), values, &Context::fixed())
}

#[test]
fn statements_by_a_part_of_a_key_or_with_more_conditions_are_on_few_rows() {
    for sql in [
        "select k from t where a = 1",
        "select k from t where a = 1 and b = 'x' and k = 2",
        "select k from t where a = 1 and a = 2",
        "select k from t where a = 1 and b > 'x' and d is not null",
        "select k, x from t where ? < a and a <= 9 and b <> 'x'",
        "select k from t where a between ? and 10 and x is null",
        "select k from t where b = 'x' and a in (1, ?, 3)",
        "select count(*) from t where a = 1 and b = 'x'",
        "select sum(k), avg(u), min(x), max(d), count(r.x) as n from t as r where r.a between 1 and 9",
        "select distinct k from t where a = 1 and b = 'x'",
        "select distinct x from t where a between 1 and 9 order by x desc limit 3",
        "select k, count(*) as n from t where a < 9 group by k order by n",
        "select k from t where a = 1 and b = 'x' for update",
        "select k from t where a = 1 and b = 'x' lock in share mode",
        "select k from t where a = 1 and b = 'x' order by k",
        "select * from t where a = 1 and b = 'x' limit 1 offset 1",
        "select k from t where a = 1 and b = 'x' limit 1, ?",
        "select k from t where a = 1 limit 0",
        "update t set k = 1 where a = 1",
        "update t set k = k + 1 where a = 1 and b = 'x' and k = 7",
        "delete from t where a = 1",
        "delete from t where b = 'x' and a in (1, 2)",
    ] {
        let values = vec![Value::Int(1); parse_one(sql).unwrap().parameters];
        assert!(few(sql, &values).is_some(), "{sql}");
    }
    let by_key = def("create table t (a int primary key, b varchar(5), c int, key (b, c), unique (c, a))");
    for sql in
        ["select a from t where b = 'x'", "select * from t where c = 1 limit 1", "delete from t where c < 1"]
    {
        assert!(PointStatement::of(&parse_one(sql).unwrap().statement, &by_key).is_some(), "{sql}");
    }
}

#[test]
fn conditions_are_taken_only_with_values_that_compare_so() {
    let int = Value::Int;
    let above = |value: &Value| few("select k from t where 5 > a and a >= ?", std::slice::from_ref(value));
    assert_eq!(
        above(&Value::Double(2.0)),
        Some(vec![
            Condition::Compare { place: 0, op: Comparison::Less, value: int(5) },
            Condition::Compare { place: 0, op: Comparison::GreaterEq, value: int(2) },
        ])
    );
    let text = |text: &str| Value::Text(text.into());
    for value in [Value::Null, text("2"), int(1 << 40), Value::Double(1.5), Value::Date(3)] {
        assert_eq!(above(&value), None, "{value:?}");
        let sql = "select k from t where a in (1, ?)";
        assert_eq!(few(sql, std::slice::from_ref(&value)), None, "{value:?}");
    }
    assert_eq!(
        few("select k from t where a in (1, ?) and b in (?)", &[int(2), text("x")]),
        Some(vec![
            Condition::In { place: 0, values: vec![int(1), int(2)] },
            Condition::In { place: 1, values: vec![text("x")] },
        ])
    );
}

#[test]
fn a_limit_is_taken_only_if_it_is_a_count() {
    let Some(PointStatement::SelectFew(select)) = point("select k from t where a = 1 limit ? offset ?")
    else {
        panic!()
    };
    let slice = |a: i64, b: i64| select.slice(&[Value::Int(a), Value::Int(b)], &Context::fixed());
    assert_eq!(slice(3, 2), Some(Slice { skip: 2, fetch: 3 }));
    assert_eq!(slice(-3, 2), None);
    assert_eq!(select.slice(&[Value::Null, Value::Int(0)], &Context::fixed()), None);
    let Some(PointStatement::SelectFew(select)) = point("select k from t where a = 1 limit 2, 3") else {
        panic!()
    };
    assert_eq!(select.slice(&[], &Context::fixed()), Some(Slice { skip: 2, fetch: 3 }));
}

#[test]
fn everything_else_needs_a_plan() {
    for sql in [
        "select k from t where b = 'x'",
        "select k from t where a <> 1",
        "select k from t where a is null",
        "select k from t where a = 1 or b = 'x'",
        "select k from t where a = 1 and b <=> 'x'",
        "select k from t where a = 1 and not b = 'x'",
        "select k from t where a = 1 and b not in ('x')",
        "select k from t where a = 1 and b like 'x'",
        "select k from t where a not between 1 and 2",
        "select k from t where a in (select 1)",
        "select k from t where a = 1 and d = 2",
        "select k from t where a = 1 + 0 and b = 'x'",
        "select k from t where a = k and b = 'x'",
        "select k + 1 from t where a = 1 and b = 'x'",
        "select now() from t where a = 1 and b = 'x'",
        "select @x from t where a = 1 and b = 'x'",
        "select count(distinct k) + 1 from t where a = 1",
        "select group_concat(k) from t where a = 1",
        "select sum(x) from t where a = 1",
        "select sum(k) over () from t where a = 1",
        "select count(k, x) from t where a = 1",
        "select k from t where a = 1 order by k + 1",
        "select k from t where a = 1 group by k with rollup",
        "select k from t where a = 1 and b = 'x' having k = 1",
        "select k from t where a = 1 order by k for update",
        "select count(*) from t where a = 1 for update",
        "select k from t where a = 1 for update nowait",
        "select k from t where a = 1 for update skip locked",
        "select k from t where a = 1 and b = 'x' union select 1",
        "select t.k from t, t as s where t.a = 1 and t.b = 'x'",
        "select k from t join t as s on 1 where t.a = 1 and t.b = 'x'",
        "select s.k from t where a = 1 and b = 'x'",
        "select k from (select * from t) as t where a = 1 and b = 'x'",
        "with t as (select 1) select k from t where a = 1 and b = 'x'",
        "select nothing from t where a = 1 and b = 'x'",
        "update t set a = 2 where a = 1 and b = 'x'",
        "update t set k = u + 1 where a = 1 and b = 'x'",
        "update t set d = d * 2 where a = 1 and b = 'x'",
        "update t set x = x + 1 where a = 1 and b = 'x'",
        "update t set k = k * 2 where a = 1 and b = 'x'",
        "update t set k = 1, k = 2 where a = 1 and b = 'x'",
        "update t set k = default where a = 1 and b = 'x'",
        "update ignore t set k = 1 where a = 1 and b = 'x'",
        "update t set k = 1 where a = 1 and b = 'x' limit 1",
        "update t set k = 1",
        "delete from t where b = 'x'",
        "delete from t where a = 1 and b = 'x' order by k",
        "insert into t select 1, 'x', 2, 3, 4, 5",
        "insert into t (a, b, k) values (1, 'x', 2) on duplicate key update k = 3",
    ] {
        assert_eq!(
            parse_one(sql).map(|parsed| PointStatement::of(&parsed.statement, &table())),
            Ok(None),
            "{sql}"
        );
    }
    let of = |create: &str, sql: &str| PointStatement::of(&parse_one(sql).unwrap().statement, &def(create));
    let by_a = "select b from t where a = 1";
    assert!(of("create table t (a int primary key, b int)", by_a).is_some());
    assert!(of("create table t (a int, b int)", by_a).is_none(), "no key");
    assert!(of("create table t (a date primary key, b int)", by_a).is_none(), "dates compare otherwise");
    assert!(of("create table t (a decimal(5,0) primary key, b int)", by_a).is_none());
    assert!(
        of("create table t (a year primary key, b int)", "select b from t where a = 70")
            .is_some_and(|point| matches!(point, PointStatement::Select(select) if select.key.values(
            &def("create table t (a year primary key, b int)"), &[], &Context::fixed()).is_none()))
    );
    let on_update = "create table t (a int primary key, b int, c datetime on update current_timestamp)";
    let by_rules = [
        on_update,
        "create table t (a int primary key, b int, c int as (b + 1))",
        "create table t (a int primary key, b int, check (b > 0))",
    ];
    for create in by_rules {
        assert!(of(create, "update t set b = 1 where a = 1").is_none(), "{create}");
        assert!(of(create, "delete from t where a = 1").is_some(), "{create}");
    }
}

fn key_of(values: &[Value]) -> Option<Vec<Value>> {
    let Some(PointStatement::Delete(Wanted::Key(key))) = point("delete from t where b = ? and a = ?") else {
        panic!()
    };
    key.values(&table(), values, &Context::fixed())
}

#[test]
fn a_key_is_taken_only_where_equality_is_exact() {
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(key_of(&[text("x"), Value::Int(-5)]), Some(vec![Value::Int(-5), text("x")]));
    assert_eq!(key_of(&[text("x"), Value::UInt(5)]), Some(vec![Value::UInt(5), text("x")]));
    assert_eq!(key_of(&[text("x"), Value::Double(5.0)]), Some(vec![Value::Int(5), text("x")]));
    for value in [
        Value::Null,
        Value::Int(1 << 40),
        Value::UInt(u64::MAX),
        Value::Double(5.5),
        Value::Double(1e300),
        Value::Double(f64::NAN),
        text("5"),
        Value::Decimal { unscaled: 50, scale: 1 },
        Value::Bytes(vec![53]),
        Value::Date(5),
    ] {
        assert_eq!(key_of(&[text("x"), value.clone()]), None, "{value:?}");
    }
    for value in [Value::Null, Value::Int(1), Value::Bytes(vec![120])] {
        assert_eq!(key_of(&[value.clone(), Value::Int(1)]), None, "{value:?}");
    }
}

/// What `k` and `u` of a row with 10 in both become.
fn updated(assignment: &str, values: &[Value]) -> Option<(Value, Value, bool)> {
    let (row, differs) = updated_row(assignment, values)?;
    Some((row[2].clone(), row[3].clone(), differs))
}

/// What the row (1, 'x', 10, 10, 1.5, 'x') becomes.
fn updated_row(assignment: &str, values: &[Value]) -> Option<(Vec<Value>, bool)> {
    let def = table();
    let sql = format!("update t set {assignment} where a = 1 and b = 'x'");
    let Some(PointStatement::Update(update)) = point(&sql) else { panic!("{sql}") };
    let values = update.values(&def, values, &Context::fixed())?;
    let Statement::Insert(insert) =
        parse_one("insert into t values (1, 'x', 10, 10, 1.5, 'x')").unwrap().statement
    else {
        panic!()
    };
    let old = new_rows(&insert, &Arc::new(def.clone()), &[], &Context::fixed()).unwrap().batch;
    let (new, differs) = values.apply(&def, &old).unwrap()?;
    let row = def.columns.iter().zip(new.columns()).map(|(column, array)| value_at(array, column.ty, 0));
    Some((row.collect(), differs))
}

#[test]
fn new_values_are_taken_only_where_they_fit() {
    let (int, uint) = (Value::Int, Value::UInt);
    assert_eq!(updated("k = k + 1", &[]), Some((int(11), uint(10), true)));
    assert_eq!(updated("k = k - ?", &[int(-7)]), Some((int(17), uint(10), true)));
    assert_eq!(updated("u = u + 5, k = 10", &[]), Some((int(10), uint(15), true)));
    assert_eq!(updated("k = ?", &[int(10)]), Some((int(10), uint(10), false)));
    assert_eq!(updated("u = null", &[]), Some((int(10), Value::Null, true)));
    for (assignment, value) in [
        ("k = k + ?", int(i64::from(i32::MAX))),
        ("k = k + ?", Value::Null),
        ("k = k + ?", Value::Text("1".into())),
        ("k = ?", int(1 << 40)),
        ("k = ?", Value::Null),
        ("k = ?", Value::Text("1".into())),
        ("k = ?", Value::Double(1.0)),
        ("u = u - ?", int(1)),
        ("u = u + ?", uint(u64::MAX)),
        ("u = ?", int(-1)),
        ("x = ?", Value::Text("long".into())),
        ("d = ?", int(1000)),
        ("d = d + ?", int(999)),
        ("d = d + ?", int(i64::MAX)),
        ("d = d - ?", Value::Decimal { unscaled: 100_150, scale: 2 }),
        ("d = d + ?", Value::Decimal { unscaled: 1, scale: 3 }),
        ("d = d + ?", Value::Decimal { unscaled: i128::MAX, scale: 0 }),
        ("d = d + ?", Value::Double(1.0)),
        ("d = d + ?", Value::Text("1".into())),
        ("d = d + ?", Value::Null),
        ("k = k + ?", Value::Decimal { unscaled: 10, scale: 1 }),
    ] {
        assert_eq!(updated(assignment, std::slice::from_ref(&value)), None, "{assignment} {value:?}");
    }
}

#[test]
fn decimals_are_added_exactly() {
    let d = |assignment: &str| {
        updated_row(assignment, &[]).map(|(row, differs)| match row[4] {
            Value::Decimal { unscaled, scale: 2 } => (unscaled, differs),
            ref other => panic!("{other:?}"),
        })
    };
    assert_eq!(d("d = d + 1"), Some((250, true)));
    assert_eq!(d("d = d - 1.25"), Some((25, true)));
    assert_eq!(d("d = d - 998.50"), Some((-99_700, true)));
    assert_eq!(d("d = d + 998.49"), Some((99_999, true)));
    assert_eq!(d("d = d + 0.0"), Some((150, false)));
    assert_eq!(d("d = d + 998.5"), None, "out of range");
    assert_eq!(d("d = d + 0.001"), None, "it would be rounded");
}

#[test]
fn a_limit_of_none_needs_a_plan() {
    let Some(PointStatement::Select(select)) = point("select k from t where a = 1 and b = 'x' limit ?")
    else {
        panic!()
    };
    let holds = |value| select.limit_holds(&[value], &Context::fixed()).is_some();
    assert!(holds(Value::Int(1)) && holds(Value::UInt(9)));
    assert!(
        !holds(Value::Int(0)) && !holds(Value::Int(-1)) && !holds(Value::Null) && !holds(Value::Double(1.0))
    );
}
