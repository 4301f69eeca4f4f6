//! INSERT .. VALUES of literals and parameters straight to rows, without a plan.

use crate::convert::{Context, DefaultValue, Scalar, default_value};
use crate::literal::literal;
use crate::rows::{NewRows, Target};
use crate::statement::{Insert, InsertSource, InsertValue};
use sqlparser::ast;
use std::sync::Arc;
use types::{ErrorKind, Result, SqlError, SqlType, TableDef, Value};

/// Rows of all columns for an INSERT whose values are literals, parameters, DEFAULT and the time
/// functions. `None`: a value needs the general path.
pub fn insert_rows(
    insert: &Insert,
    def: Arc<TableDef>,
    parameters: &[Value],
    context: &Context,
) -> Result<Option<NewRows>> {
    let InsertSource::Values(rows) = &insert.source else { return Ok(None) };
    let target = Target::of_values(insert, def, context)?;
    let mut builders: Vec<_> = (0..target.listed.len()).map(|at| target.builder(at, rows.len())).collect();
    for (number, row) in rows.iter().enumerate() {
        for (at, builder) in builders.iter_mut().enumerate() {
            let column = target.column(at);
            // An empty row, `()`, takes every default.
            let value = match row.get(at).unwrap_or(&InsertValue::Default) {
                InsertValue::Default => match default_value(column, context)? {
                    DefaultValue::Value(value) => value,
                    DefaultValue::Generated | DefaultValue::Computed => Value::Null,
                },
                InsertValue::Expr(expr) if default_of(expr).is_some() => {
                    named_default(expr, &target.def, context)?.unwrap_or(Value::Null)
                }
                InsertValue::Expr(expr) => match literal(expr, parameters, context)? {
                    Some(value) => bits_as_number(value, column.ty, expr),
                    None => return Ok(None),
                },
            };
            let scalar = Scalar::of(&value);
            // A builder takes NULL where it means a number to be generated, which the column does not.
            builder.assign(&scalar, column, &of_rows(context, rows.len(), &scalar), number as u64 + 1)?;
        }
    }
    let listed = builders.into_iter().map(|builder| builder.finish()).collect();
    target.complete(listed, rows.len()).map(Some)
}

/// The column of `DEFAULT(column)`.
fn default_of(expr: &ast::Expr) -> Option<&ast::Ident> {
    let ast::Expr::Function(function) = expr else { return None };
    let is_default = function.name.0.last()?.as_ident()?.value.eq_ignore_ascii_case("DEFAULT");
    let ast::FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Identifier(name)))]
            if is_default =>
        {
            Some(name)
        }
        _ => None,
    }
}

/// The value of `DEFAULT(column)`; `None` for any other expression. Errors: 1054, 1364.
pub fn named_default(expr: &ast::Expr, def: &TableDef, context: &Context) -> Result<Option<Value>> {
    let Some(ast::Ident { value: name, .. }) = default_of(expr) else { return Ok(None) };
    let Some((_, column)) = def.column_named(name) else {
        return Err(SqlError::new(
            ErrorKind::UnknownColumn,
            format!("Unknown column '{name}' in 'field list'"),
        ));
    };
    match default_value(column, context)? {
        DefaultValue::Value(value) => Ok(Some(value)),
        DefaultValue::Generated | DefaultValue::Computed => {
            Err(SqlError::unsupported(format_args!("DEFAULT({name}), which is no plain value")))
        }
    }
}

/// NULL alone for a column that takes none is an error in every mode; among several rows it is not.
pub fn of_rows(context: &Context, rows: usize, scalar: &Scalar<'_>) -> Context {
    let is_alone = rows == 1 && *scalar == Scalar::Null && !context.ignore;
    Context { lenient: context.lenient && !is_alone, ..*context }
}

/// `X'41'` and `b'1'` are numbers to a column of numbers.
fn bits_as_number(value: Value, ty: SqlType, expr: &sqlparser::ast::Expr) -> Value {
    use sqlparser::ast::{Expr, Value as Ast};
    let is_bits = matches!(
        expr,
        Expr::Value(v) if matches!(v.value, Ast::HexStringLiteral(_) | Ast::SingleQuotedByteStringLiteral(_))
    );
    let is_number =
        ty.is_integer() || matches!(ty, SqlType::Decimal { .. } | SqlType::Float | SqlType::Double);
    match value {
        Value::Bytes(bytes) if is_bits && is_number && bytes.len() <= 8 => {
            Value::UInt(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::value_at;
    use crate::parse::parse_one;
    use crate::statement::Statement;
    use crate::temporal::{Zone, parse_datetime};
    use types::ErrorKind;

    fn table(sql: &str) -> Arc<TableDef> {
        match parse_one(sql).unwrap().statement {
            Statement::CreateTable(create) => Arc::new(crate::ddl::table_def(&create).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn run(def: &Arc<TableDef>, sql: &str, parameters: &[Value]) -> Result<Option<NewRows>> {
        let Statement::Insert(insert) = parse_one(sql)?.statement else { panic!("{sql}") };
        let now = parse_datetime(b"2024-05-06 07:08:09.987654", 6).unwrap();
        insert_rows(
            &insert,
            def.clone(),
            parameters,
            &Context { now, zone: Zone::Offset(3600), ..Context::fixed() },
        )
    }

    fn rows(def: &Arc<TableDef>, new: &NewRows) -> Vec<Vec<String>> {
        (0..new.batch.num_rows())
            .map(|row| {
                def.columns
                    .iter()
                    .zip(new.batch.columns())
                    .map(|(column, array)| {
                        let value = value_at(array, column.ty, row);
                        String::from_utf8(Scalar::of(&value).text().into_owned()).unwrap()
                    })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn literals_defaults_and_parameters() {
        let def = table(
            "create table t (id bigint primary key auto_increment, a int, d decimal(8,2) default '1.5', \
             s varchar(19) not null default 'x', at datetime(3) default current_timestamp(3), b blob)",
        );
        let new = run(
            &def,
            "insert into t (id, a, s, b) values (null, -5, 'it''s', x'4142'), (7, 0x41, default, ?), \
             (0, true, now(), null)",
            &[Value::Text("p".into())],
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            rows(&def, &new),
            [
                ["0", "-5", "1.50", "it's", "2024-05-06 08:08:09.987", "AB"],
                ["7", "65", "1.50", "x", "2024-05-06 08:08:09.987", "p"],
                ["0", "1", "1.50", "2024-05-06 08:08:09", "2024-05-06 08:08:09.987", "NULL"],
            ]
        );
    }

    #[test]
    fn numbers_are_generated_in_order() {
        let def = table("create table t (id int primary key auto_increment, a int)");
        let new = run(&def, "insert into t (a) values (1), (2)", &[]).unwrap().unwrap();
        assert_eq!(new.to_generate(), 2);
        let batch = new.number(&def, 10).unwrap();
        assert_eq!(value_at(batch.column(0), def.columns[0].ty, 1), Value::Int(11));
        let new = run(&def, "insert into t values (5, 1), (default, 2)", &[]).unwrap().unwrap();
        assert_eq!((new.to_generate(), new.greatest_given(&def)), (1, Some(5)));
        let full = run(&def, "insert into t values (), ()", &[]).unwrap().unwrap();
        assert_eq!(full.to_generate(), 2);
        assert_eq!(full.number(&def, 2_147_483_647).unwrap_err().kind, ErrorKind::OutOfRange);
    }

    #[test]
    fn zero_is_stored_if_the_mode_says_so() {
        let def = table("create table t (id int primary key auto_increment, a int)");
        let Statement::Insert(insert) =
            parse_one("insert into t values (0, 1), (null, 2)").unwrap().statement
        else {
            panic!()
        };
        for (keeps_zero, generated) in [(false, 2), (true, 1)] {
            let context = Context { keeps_zero, ..Context::fixed() };
            let new = insert_rows(&insert, def.clone(), &[], &context).unwrap().unwrap();
            assert_eq!(new.to_generate(), generated);
            let batch = new.number(&def, 5).unwrap();
            let first = if keeps_zero { 0 } else { 5 };
            assert_eq!(NewRows::number_of(&def, &batch, 0), Some(first));
        }
    }

    #[test]
    fn errors_are_mysqls() {
        let def = table("create table t (a int not null, b varchar(3), c int default 1)");
        for (sql, text) in [
            ("insert into t values (1, 'x')", "Column count doesn't match value count at row 1"),
            ("insert into t (a, b) values (1, 'x'), (2)", "Column count doesn't match value count at row 2"),
            ("insert into t (z) values (1)", "Unknown column 'z' in 'field list'"),
            ("insert into t (a, A) values (1, 2)", "Column 'a' specified twice"),
            ("insert into t (b) values ('x')", "Field 'a' doesn't have a default value"),
            ("insert into t (a) values (default)", "Field 'a' doesn't have a default value"),
            ("insert into t values (null, 'x', 1)", "Column 'a' cannot be null"),
            ("insert into t values (1, 'x', 1), (2, 'long', 1)", "Data too long for column 'b' at row 2"),
            ("insert into t values (3000000000, 'x', 1)", "Out of range value for column 'a' at row 1"),
            ("insert into t values ('', 'x', 1)", "Incorrect integer value: '' for column 'a' at row 1"),
            ("insert into t values (?, 'x', 1)", "Incorrect arguments to EXECUTE"),
        ] {
            assert_eq!(run(&def, sql, &[]).unwrap_err().message, text, "{sql}");
        }
        assert!(run(&def, "insert into t values (1 + 1, 'x', 1)", &[]).unwrap().is_none());
        assert!(run(&def, "insert into t select 1, 'x', 1", &[]).unwrap().is_none());
    }
}
