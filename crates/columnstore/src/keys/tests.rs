use super::*;
use crate::testing;
use types::SqlType;

fn key(name: &str, columns: &[u32]) -> KeyDef {
    KeyDef { name: name.into(), columns: columns.iter().map(|id| ColumnId(*id)).collect(), unique: false }
}

fn compare(column: u32, op: Compare, value: i64) -> Predicate {
    Predicate::Compare { column: ColumnId(column), op, value: Value::Int(value) }
}

#[test]
fn the_key_that_most_is_said_about_is_used() {
    let ty = SqlType::BigInt { unsigned: false };
    let columns = (1..=4).map(|id| testing::column(id, &format!("c{id}"), ty, true)).collect();
    let mut def = testing::table(1, columns, &[1]);
    def.keys = vec![key("b", &[2]), key("bc", &[2, 3]), key("cd", &[3, 4]), key("ab", &[1, 2])];
    let used = |predicates: &[Predicate]| key_used(&def, predicates).map(str::to_string);
    let eq = |column| compare(column, Compare::Eq, 5);
    assert_eq!(used(&[]), None);
    assert_eq!(used(&[eq(4)]), None);
    assert_eq!(used(&[eq(2)]).as_deref(), Some("b"));
    assert_eq!(used(&[eq(2), eq(3)]).as_deref(), Some("bc"));
    assert_eq!(used(&[eq(2), compare(3, Compare::Less, 9)]).as_deref(), Some("bc"));
    assert_eq!(used(&[compare(3, Compare::Less, 9)]).as_deref(), Some("cd"));
    assert_eq!(used(&[compare(3, Compare::NotEq, 9)]), None);
    assert_eq!(used(&[eq(1), eq(2)]).as_deref(), Some("ab"));
    // The rows are sorted by it.
    def.sort_key = vec![ColumnId(3), ColumnId(4), ColumnId(1)];
    assert_eq!(key_used(&def, &[eq(3), eq(4)]), None);
}

#[test]
fn many_values_are_looked_for_by_fewer_columns_and_impossible_ones_not_at_all() {
    let mut def = testing::number_table(1);
    def.keys = vec![key("vk", &[2, 1])];
    let many = |column, count| Predicate::In {
        column: ColumnId(column),
        values: (0..count).map(Value::Int).chain([Value::Null]).collect(),
    };
    let ranges = |predicates: &[Predicate]| KeyUse::of(&def, predicates).map(|used| used.ranges.len());
    assert_eq!(ranges(&[many(2, 10), many(1, 10)]), Some(100));
    assert_eq!(ranges(&[many(2, 100), many(1, 100)]), Some(100));
    assert_eq!(ranges(&[many(2, 1_000)]), None);
    let text = Predicate::Compare { column: ColumnId(2), op: Compare::Eq, value: Value::Text("x".into()) };
    assert_eq!(ranges(&[text]), Some(0));
    let full = KeyUse::of(&def, &[many(2, 2), many(1, 2)]).unwrap();
    assert_eq!(full.values.map(|values| values.len()), Some(4));
    assert!(KeyUse::of(&def, &[many(2, 2)]).unwrap().values.is_none());
}

#[test]
fn codes_are_in_the_order_of_the_values() {
    let numbers = [i128::MIN, i128::from(i64::MIN), -1, 0, 7, i128::from(i64::MAX), i128::MAX];
    assert!(numbers.map(number_code).is_sorted());
    let strings: [&[u8]; 7] = [b"", b"\0", b"a", b"a\0", b"abcdefgh", b"abcdefghi", b"\xff\xff"];
    assert!(strings.map(string_code).is_sorted());
    assert_eq!(NULL_CODE, string_code(b""));
}

struct StartsWith(&'static [u8]);

impl crate::BytesTest for StartsWith {
    fn passes(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(self.0)
    }

    fn prefix(&self) -> Option<&[u8]> {
        Some(self.0)
    }
}

#[test]
fn a_test_of_how_strings_begin_is_a_range() {
    let mut def = testing::number_table(1);
    let text = testing::column(3, "s", SqlType::VarChar(20), true);
    def.columns.push(text);
    def.keys = vec![key("s", &[3])];
    let begins = |prefix| Predicate::Bytes {
        column: ColumnId(3),
        test: std::sync::Arc::new(StartsWith(prefix)),
        label: String::new(),
    };
    let bounds = |predicates: &[Predicate]| {
        let used = KeyUse::of(&def, predicates).unwrap();
        let [range] = used.ranges.as_slice() else { panic!("one range") };
        assert!(range.equal.is_empty());
        (range.low.clone(), range.high.clone())
    };
    let string = |bytes: &[u8], within| Some((Part::String(bytes.to_vec()), within));
    assert_eq!(bounds(&[begins(b"ab")]), (string(b"ab", true), string(b"ac", false)));
    assert_eq!(bounds(&[begins(b"a\xff\xff")]), (string(b"a\xff\xff", true), string(b"b", false)));
    assert_eq!(bounds(&[begins(b"\xff")]), (string(b"\xff", true), None));
    let below =
        Predicate::Compare { column: ColumnId(3), op: Compare::Less, value: Value::Text("abc".into()) };
    assert_eq!(bounds(&[begins(b"ab"), below]), (string(b"ab", true), string(b"abc", false)));
    let any: std::sync::Arc<dyn crate::BytesTest> = std::sync::Arc::new(|bytes: &[u8]| bytes.len() > 3);
    let longer = Predicate::Bytes { column: ColumnId(3), test: any, label: String::new() };
    assert!(KeyUse::of(&def, &[longer]).is_none());
}

#[test]
fn a_range_says_more_than_a_prefix_and_that_more_than_one_end() {
    let mut def = testing::number_table(1);
    def.columns.push(testing::column(3, "s", SqlType::VarChar(20), true));
    def.keys = vec![key("s", &[3]), key("v", &[2])];
    let used = |predicates: &[Predicate]| key_used(&def, predicates).map(str::to_string);
    let begins = Predicate::Bytes {
        column: ColumnId(3),
        test: std::sync::Arc::new(StartsWith(b"a")),
        label: String::new(),
    };
    let (above, below) = (compare(2, Compare::Greater, 5), compare(2, Compare::LessEq, 9));
    assert_eq!(used(&[begins.clone(), above.clone()]).as_deref(), Some("s"));
    assert_eq!(used(&[begins.clone(), above, below]).as_deref(), Some("v"));
    assert_eq!(used(&[begins, compare(2, Compare::Eq, 7)]).as_deref(), Some("v"));
}
