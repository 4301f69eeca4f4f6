//! Who may log in: the two password methods of MySQL 8, the strings that a server stores for them,
//! and the exchange of packets that proves a password.
//!
//! A user that does not exist goes through the same packets and the same work as one that does, so
//! that nobody learns which names there are.

pub(crate) mod caching_sha2;
pub(crate) mod exchange;
pub(crate) mod native;
pub(crate) mod rsa_key;
pub(crate) mod sha256_crypt;
pub(crate) mod stored;

use std::fmt;

/// An authentication method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Plugin {
    #[default]
    CachingSha2,
    Native,
}

impl Plugin {
    pub const fn name(self) -> &'static str {
        match self {
            Plugin::CachingSha2 => "caching_sha2_password",
            Plugin::Native => "mysql_native_password",
        }
    }

    pub fn from_name(name: &str) -> Option<Plugin> {
        [Plugin::CachingSha2, Plugin::Native].into_iter().find(|p| p.name() == name)
    }
}

/// What a server keeps to recognise a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub plugin: Plugin,
    /// In the plugin's format, see [`make_stored`](crate::make_stored); `None`: the user has no
    /// password.
    pub stored: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("plugin", &self.plugin)
            .field("has_password", &self.stored.is_some())
            .finish_non_exhaustive()
    }
}

const NONCE_LEN: usize = 20;

/// Random bytes that a client mixes into its answer, so that an answer serves once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nonce([u8; NONCE_LEN]);

impl Nonce {
    pub fn new() -> Nonce {
        // Printable and not '$': clients take a nonce for a zero-terminated string.
        const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        Nonce(rand::random::<[u8; NONCE_LEN]>().map(|byte| LETTERS[usize::from(byte % 64)]))
    }

    #[cfg(test)]
    pub fn from_bytes(bytes: [u8; NONCE_LEN]) -> Nonce {
        Nonce(bytes)
    }

    pub fn bytes(&self) -> &[u8; NONCE_LEN] {
        &self.0
    }
}

fn xor<const N: usize>(a: [u8; N], b: [u8; N]) -> [u8; N] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// Compares in a time that depends on the lengths alone.
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_nonces() {
        for plugin in [Plugin::CachingSha2, Plugin::Native] {
            assert_eq!(Plugin::from_name(plugin.name()), Some(plugin));
        }
        assert_eq!(Plugin::from_name("sha256_password"), None);
        assert!(Nonce::new().bytes().iter().all(|b| b.is_ascii_graphic() && *b != b'$'));
        assert_ne!(Nonce::new(), Nonce::new());
        assert!(same_bytes(b"ab", b"ab") && !same_bytes(b"ab", b"ac") && !same_bytes(b"a", b"ab"));
        let shown = format!("{:?}", Credentials { plugin: Plugin::Native, stored: Some("*A".into()) });
        assert!(!shown.contains("*A"), "{shown}");
    }
}
