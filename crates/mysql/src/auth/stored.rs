//! The authentication strings that a catalog keeps, in MySQL's own formats, so that accounts can be
//! carried over from a MySQL server.

use super::{Plugin, caching_sha2, native};
use types::{ErrorKind, SqlError};

/// The string to store for a password given in clear text; `None`, no password, for an empty one.
/// For [`Plugin::CachingSha2`] this costs some milliseconds, on purpose.
pub fn make_stored(plugin: Plugin, password: &str) -> Option<String> {
    if password.is_empty() {
        return None;
    }
    Some(match plugin {
        Plugin::Native => native::make_stored(password.as_bytes()),
        Plugin::CachingSha2 => caching_sha2::make_stored(password.as_bytes()),
    })
}

/// Refuses a string that the plugin could never verify, as in `IDENTIFIED WITH plugin AS 'string'`.
pub fn check_stored(plugin: Plugin, stored: &str) -> Result<(), SqlError> {
    let known = match plugin {
        Plugin::Native => native::parse_stored(stored).is_some(),
        Plugin::CachingSha2 => caching_sha2::Stored::parse(stored).is_some(),
    };
    if known {
        return Ok(());
    }
    Err(SqlError::new(
        ErrorKind::WrongArguments,
        format!("The password hash doesn't have the expected format of {}.", plugin.name()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_accepted() {
        for plugin in [Plugin::CachingSha2, Plugin::Native] {
            assert_eq!(make_stored(plugin, ""), None);
            let stored = make_stored(plugin, "geheim").unwrap();
            assert_eq!(check_stored(plugin, &stored), Ok(()));
            assert_eq!(check_stored(plugin, "geheim").unwrap_err().kind, ErrorKind::WrongArguments);
        }
    }
}
