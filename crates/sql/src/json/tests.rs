use super::path::Path;
use super::*;
use proptest::prelude::*;

fn written(text: &str) -> String {
    let mut out = String::new();
    parse(text).unwrap().write(&mut out);
    out
}

#[test]
fn one_form() {
    for (text, form) in [
        (r#"{"bb":1,"a":[1,2 ,{}]}"#, r#"{"a": [1, 2, {}], "bb": 1}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
        (r#" [1.50, 1e2, -0, 12345678901234567890, 1e100] "#, "[1.5, 100.0, 0, 12345678901234567890, 1e100]"),
        (r#""\u00e4\ud83e\udd80\n\/""#, "\"ä🦀\\n/\""),
        ("[true,false,null]", "[true, false, null]"),
    ] {
        assert_eq!(written(text), form, "{text}");
    }
}

#[test]
fn what_is_no_json() {
    for (text, why, at) in [
        ("", "The document is empty.", 0),
        ("{a: 1}", "Missing a name for object member.", 1),
        ("[1,]", "Invalid value.", 3),
        ("[1 2]", "Missing a comma or ] after an array element.", 3),
        (r#"{"a" 1}"#, "Missing a colon after a name of object member.", 5),
        (r#"{"a": 1"#, "Missing a comma or } after an object member.", 7),
        ("\"abc", "Missing a closing quotation mark in string.", 0),
        (r#""\x""#, "Invalid escape character in string.", 1),
        ("1 2", "The document root must not be followed by other values.", 2),
        ("01", "The document root must not be followed by other values.", 1),
        ("1.", "Missing fraction part in number.", 2),
        ("nul", "Invalid value.", 0),
    ] {
        let wrong = parse(text).unwrap_err();
        assert_eq!((wrong.why, wrong.at), (why, at), "{text}");
    }
    let deep = "[".repeat(200) + &"]".repeat(200);
    assert!(parse(&deep).unwrap_err().too_deep);
}

#[test]
fn paths() {
    let document = parse(r#"{"a": {"b": [1, 2, 3]}, "c d": "x", "e": [{"b": 4}]}"#).unwrap();
    for (path, found) in [
        ("$", 1),
        ("$.a.b", 1),
        ("$.a.b[1]", 1),
        ("$.a.b[last]", 1),
        ("$.a.b[last-5]", 0),
        ("$.a.b[1 to 2]", 2),
        ("$.a.b[0 to last]", 3),
        ("$.a.b[*]", 3),
        ("$.*", 3),
        ("$**.b", 2),
        ("$.\"c d\"", 1),
        ("$.e[0].b", 1),
        ("$.\"c d\"[0]", 1),
        ("$.z", 0),
    ] {
        assert_eq!(Path::parse(path).unwrap().find(&document).len(), found, "{path}");
    }
    for (path, at) in [("a", 1), ("$.", 3), ("$[", 3), ("$[x]", 3), ("$**", 4), ("", 1), ("$.a b", 5)] {
        assert_eq!(Path::parse(path).unwrap_err(), at, "{path}");
    }
}

#[test]
fn changes_by_path() {
    let changed = |text: &str, change: &dyn Fn(&mut Json)| {
        let mut document = parse(text).unwrap();
        change(&mut document);
        let mut out = String::new();
        document.write(&mut out);
        out
    };
    let set = |text: &str, path: &str, insert, replace| {
        let path = Path::parse(path).unwrap();
        changed(text, &|document| path.set(document, Json::Int(9), insert, replace))
    };
    assert_eq!(set("[1]", "$[5]", true, true), "[1, 9]");
    assert_eq!(set("1", "$[5]", true, true), "[1, 9]");
    assert_eq!(set("{}", "$.a.b", true, true), "{}");
    assert_eq!(set(r#"{"a": 1}"#, "$.a", true, false), r#"{"a": 1}"#);
    assert_eq!(set(r#"{"a": 1}"#, "$.b", false, true), r#"{"a": 1}"#);
    let remove = |text: &str, path: &str| {
        let path = Path::parse(path).unwrap();
        changed(text, &|document| path.remove(document))
    };
    assert_eq!(remove("[1, 2, 3]", "$[last]"), "[1, 2]");
    assert_eq!(remove("[1]", "$[3]"), "[1]");
}

#[test]
fn containing_and_merging() {
    let json = |text: &str| parse(text).unwrap();
    assert!(json("[1, [2, 3]]").contains(&json("[[2]]")));
    assert!(!json("[1]").contains(&json("[1, 2]")));
    assert!(json("[1.0]").contains(&json("1")));
    assert!(json(r#"{"a": {"b": 1, "c": 2}}"#).contains(&json(r#"{"a": {"b": 1}}"#)));
    let text = |value: Json| {
        let mut out = String::new();
        value.write(&mut out);
        out
    };
    assert_eq!(text(json(r#"{"a": 1}"#).merged(json(r#"{"a": 2}"#))), r#"{"a": [1, 2]}"#);
    assert_eq!(text(json(r#"{"a": {"x": 1}}"#).patched(json(r#"{"a": {"x": null}}"#))), r#"{"a": {}}"#);
}

proptest! {
    /// Whatever the text, reading it ends and never panics; what is read is written in a form that
    /// reads back the same.
    #[test]
    fn any_text(text in "[\\[\\]{}\",:0-9a-z\\\\ .eE+-]{0,40}") {
        if let Ok(value) = parse(&text) {
            let mut form = String::new();
            value.write(&mut form);
            prop_assert_eq!(parse(&form), Ok(value));
        }
    }

    #[test]
    fn any_path(text in "\\$?[$.*\\[\\]\"a-z0-9 -]{0,20}") {
        if let Ok(path) = Path::parse(&text) {
            path.find(&Json::Array(vec![Json::Int(1)]));
        }
    }
}
