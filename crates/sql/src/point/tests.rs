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

#[test]
fn statements_by_the_whole_key_are_point_statements() {
    for sql in [
        "select k, x from t where a = 1 and b = 'x'",
        "select * from t where b = ? and (a = ?) limit 1",
        "select r.k as kk, r.a from t as r where r.b = 'x' and 5 = r.a",
        "select K from t where A in (1) and B = 'x'",
        "update t set k = k + 1, x = 'y' where a = 1 and b = 'x'",
        "update t set t.k = 5, d = null where t.a = 1 and t.b = 'x'",
        "delete from t where a = 1 and b = ''",
        "insert into t values (1, 'x', 2, 3, 4, 5), (?, ?, ?, ?, ?, now())",
        "replace into t (a, b, k) values (1, 'x', 2)",
        "insert ignore into t set a = 1, b = 'x', k = 2",
    ] {
        assert!(point(sql).is_some(), "{sql}");
    }
}

#[test]
fn everything_else_needs_a_plan() {
    for sql in [
        "select k from t where a = 1",
        "select k from t where a = 1 and b = 'x' and k = 2",
        "select k from t where a = 1 and a = 2",
        "select k from t where a = 1 or b = 'x'",
        "select k from t where a = 1 and b > 'x'",
        "select k from t where a = 1 and b <=> 'x'",
        "select k from t where a = 1 and not b = 'x'",
        "select k from t where a = 1 and b in ('x', 'y')",
        "select k from t where a = 1 and b not in ('x')",
        "select k from t where a = 1 + 0 and b = 'x'",
        "select k from t where a = k and b = 'x'",
        "select k + 1 from t where a = 1 and b = 'x'",
        "select count(*) from t where a = 1 and b = 'x'",
        "select distinct k from t where a = 1 and b = 'x'",
        "select k from t where a = 1 and b = 'x' for update",
        "select k from t where a = 1 and b = 'x' order by k",
        "select k from t where a = 1 and b = 'x' group by k",
        "select k from t where a = 1 and b = 'x' having k = 1",
        "select k from t where a = 1 and b = 'x' limit 1 offset 1",
        "select k from t where a = 1 and b = 'x' limit 1, 1",
        "select k from t where a = 1 and b = 'x' union select 1",
        "select t.k from t, t as s where t.a = 1 and t.b = 'x'",
        "select k from t join t as s on 1 where t.a = 1 and t.b = 'x'",
        "select s.k from t where a = 1 and b = 'x'",
        "select k from (select * from t) as t where a = 1 and b = 'x'",
        "with t as (select 1) select k from t where a = 1 and b = 'x'",
        "select nothing from t where a = 1 and b = 'x'",
        "update t set a = 2 where a = 1 and b = 'x'",
        "update t set k = u + 1 where a = 1 and b = 'x'",
        "update t set d = d + 1 where a = 1 and b = 'x'",
        "update t set k = k * 2 where a = 1 and b = 'x'",
        "update t set k = 1, k = 2 where a = 1 and b = 'x'",
        "update t set k = default where a = 1 and b = 'x'",
        "update ignore t set k = 1 where a = 1 and b = 'x'",
        "update t set k = 1 where a = 1 and b = 'x' limit 1",
        "update t set k = 1",
        "delete from t where a = 1",
        "delete from t where a = 1 and b = 'x' order by k",
        "insert into t select 1, 'x', 2, 3, 4, 5",
        "insert into t (a, b, k) values (1, 'x', 2) on duplicate key update k = 3",
    ] {
        assert_eq!(point(sql), None, "{sql}");
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
    let Some(PointStatement::Delete(key)) = point("delete from t where b = ? and a = ?") else { panic!() };
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
    let at = |place: usize| value_at(new.column(place), def.columns[place].ty, 0);
    Some((at(2), at(3), differs))
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
    ] {
        assert_eq!(updated(assignment, std::slice::from_ref(&value)), None, "{assignment} {value:?}");
    }
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
