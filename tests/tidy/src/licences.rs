//! Under which licences the dependencies may be: those that let anyone build, use and sell the whole
//! under Apache-2.0.

use cargo_metadata::Metadata;

/// Licences that need no more than to be named.
const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Exceptions that only give more rights.
const ALLOWED_EXCEPTIONS: [&str; 1] = ["LLVM-exception"];

/// Our own.
const OURS: &str = "Apache-2.0";

/// One sentence for each package whose licence is not allowed.
pub fn violations(metadata: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    for package in &metadata.packages {
        let shown = format!("{} {}", package.name, package.version);
        let licence = package.license.as_deref();
        if metadata.workspace_members.contains(&package.id) {
            if licence != Some(OURS) {
                found.push(format!("{shown} is ours and must be under {OURS}, not {licence:?}"));
            }
            continue;
        }
        match licence.map(is_allowed) {
            Some(Ok(true)) => {}
            Some(Ok(false)) => found.push(format!("{shown}: {} is not allowed", licence.unwrap_or_default())),
            Some(Err(error)) => found.push(format!("{shown}: {error}")),
            None => found.push(format!("{shown} names no licence")),
        }
    }
    found
}

/// Reads an SPDX licence expression: `A OR B` may be chosen from, `A AND B` must both be allowed. The
/// old form `A/B` means OR.
pub fn is_allowed(expression: &str) -> Result<bool, String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    match (any(&mut rest), rest) {
        (Some(allowed), []) => Ok(allowed),
        _ => Err(format!("'{expression}' is not a licence expression")),
    }
}

fn any(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = all(words)?;
    while take(words, "OR") {
        allowed |= all(words)?;
    }
    Some(allowed)
}

fn all(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = one(words)?;
    while take(words, "AND") {
        allowed &= one(words)?;
    }
    Some(allowed)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    if take(words, "(") {
        let allowed = any(words)?;
        return take(words, ")").then_some(allowed);
    }
    let mut allowed = ALLOWED.contains(&name(words)?);
    if take(words, "WITH") {
        allowed &= ALLOWED_EXCEPTIONS.contains(&name(words)?);
    }
    Some(allowed)
}

fn name<'a>(words: &mut &[&'a str]) -> Option<&'a str> {
    let (first, rest) = words.split_first()?;
    if ["OR", "AND", "WITH", "(", ")"].contains(first) {
        return None;
    }
    *words = rest;
    Some(first)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let cases = [
            ("MIT", Some(true)),
            ("GPL-3.0", Some(false)),
            ("MIT OR GPL-3.0", Some(true)),
            ("MIT/GPL-3.0", Some(true)),
            ("MIT AND GPL-3.0", Some(false)),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", Some(true)),
            ("MIT OR GPL-3.0 AND AGPL-3.0", Some(true)),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", Some(true)),
            ("Apache-2.0 WITH Other-exception", Some(false)),
            ("", None),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT GPL-3.0", None),
            ("AND MIT", None),
        ];
        for (expression, expected) in cases {
            assert_eq!(is_allowed(expression).ok(), expected, "{expression}");
        }
    }
}
