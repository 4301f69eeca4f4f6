//! caching_sha2_password.
//!
//! Stored: `$A$005$`, 20 bytes of salt, 43 characters of SHA-crypt with 5 * 1000 rounds. That hash
//! cannot check an answer to a nonce, so the server remembers SHA256(SHA256(password)) of users that
//! have proved their password once, and checks with it: the client answers
//! SHA256(password) xor SHA256(SHA256(SHA256(password)), nonce).

use super::sha256_crypt::{TEXT_LEN, sha256_crypt};
use super::{Nonce, same_bytes, xor};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

const SALT: usize = 20;
const THOUSANDS: u32 = 5;
/// More entries than this are forgotten together; they return with the next logins.
const CACHE_ENTRIES: usize = 65_536;

type Digest256 = [u8; 32];

fn sha256(parts: &[&[u8]]) -> Digest256 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// SHA256(SHA256(password)).
pub fn double_digest(password: &[u8]) -> Digest256 {
    sha256(&[&sha256(&[password])])
}

/// A parsed authentication string.
pub struct Stored<'a> {
    rounds: u32,
    salt: &'a [u8],
    hash: &'a [u8],
}

impl Stored<'_> {
    pub fn parse(stored: &str) -> Option<Stored<'_>> {
        let rest = stored.as_bytes().strip_prefix(b"$A$")?;
        let (thousands, rest) = rest.split_at_checked(3)?;
        let rest = rest.strip_prefix(b"$")?;
        if rest.len() != SALT + TEXT_LEN || !thousands.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        // The count is hexadecimal, as in MySQL.
        let thousands = u32::from_str_radix(std::str::from_utf8(thousands).ok()?, 16).ok()?;
        let (salt, hash) = rest.split_at(SALT);
        (thousands > 0).then_some(Stored { rounds: thousands * 1000, salt, hash })
    }

    pub fn verify(&self, password: &[u8]) -> bool {
        same_bytes(&sha256_crypt(password, self.salt, self.rounds), self.hash)
    }
}

pub fn make_stored(password: &[u8]) -> String {
    stored_with_salt(password, Nonce::new().bytes())
}

fn stored_with_salt(password: &[u8], salt: &[u8; SALT]) -> String {
    let hash = sha256_crypt(password, salt, THOUSANDS * 1000);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("$A${THOUSANDS:03X}${}{}", text(salt), text(&hash))
}

/// What the server remembers of passwords that were proved. Keyed by the stored string: its salt is
/// random, so it names one password of one user, and a changed password leaves its entry behind.
#[derive(Default)]
pub struct Cache {
    entries: Mutex<HashMap<String, Digest256>>,
}

impl Cache {
    pub fn remember(&self, stored: &str, password: &[u8]) {
        let digest = double_digest(password);
        let mut entries = self.entries.lock();
        if entries.len() >= CACHE_ENTRIES {
            entries.clear();
        }
        entries.insert(stored.to_string(), digest);
    }

    /// True if `response` proves a remembered password. False if it does not, or there is none.
    pub fn verify(&self, stored: &str, nonce: &Nonce, response: &[u8]) -> bool {
        let Some(digest) = self.entries.lock().get(stored).copied() else { return false };
        let Ok(response) = Digest256::try_from(response) else { return false };
        let once = xor(response, sha256(&[&digest, nonce.bytes()]));
        same_bytes(&sha256(&[&once]), &digest)
    }
}

/// The client's side of the fast path.
#[cfg(test)]
pub fn respond(password: &[u8], nonce: &Nonce) -> Digest256 {
    xor(sha256(&[password]), sha256(&[&double_digest(password), nonce.bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form_is_that_of_mysql() {
        // A published pair of a MySQL 8.0 hash and its password.
        let salt = [
            0xF9, 0xCC, 0x98, 0xCE, 0x08, 0x89, 0x29, 0x24, 0xF5, 0x0A, 0x21, 0x3B, 0x6B, 0xC5, 0x71, 0xA2,
            0xC1, 0x17, 0x78, 0xC5,
        ];
        assert_eq!(&sha256_crypt(b"hashcat", &salt, 5000), b"bTy95Y99eAME1dwEkHOA1ndHGBWz.1bxSSRkuTXFGV/");

        let stored = make_stored(b"geheim");
        assert_eq!(stored.len(), 70);
        let parsed = Stored::parse(&stored).unwrap();
        assert!(parsed.verify(b"geheim") && !parsed.verify(b"Geheim"));
        for wrong in [
            "",
            "$A$005$",
            &stored[..69],
            &stored.replace("$A$005$", "$A$000$"),
            &stored.replace("$A$", "$B$"),
        ] {
            assert!(Stored::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn answer_to_a_nonce_is_that_of_mysql() {
        let nonce = Nonce::from_bytes([
            0x4e, 0x52, 0x33, 0x48, 0x50, 0x3a, 0x71, 0x49, 0x59, 0x61, 0x5f, 0x39, 0x3d, 0x64, 0x62, 0x3f,
            0x53, 0x64, 0x7b, 0x60,
        ]);
        assert_eq!(
            respond(b"G!ider27", &nonce),
            [
                0x4f, 0x97, 0xbb, 0xfd, 0x20, 0x24, 0x01, 0xc4, 0x2a, 0x69, 0xde, 0xaa, 0xe5, 0x3b, 0xda,
                0x07, 0x7e, 0xd7, 0x57, 0x85, 0x63, 0xc1, 0xa8, 0x0e, 0xb8, 0x16, 0xc8, 0x21, 0x19, 0xb6,
                0x8d, 0x2e,
            ]
        );
    }

    #[test]
    fn the_cache_knows_proved_passwords_only() {
        let cache = Cache::default();
        let nonce = Nonce::new();
        let answer = respond(b"pw", &nonce);
        assert!(!cache.verify("stored", &nonce, &answer));
        cache.remember("stored", b"pw");
        assert!(cache.verify("stored", &nonce, &answer));
        assert!(!cache.verify("changed", &nonce, &answer));
        assert!(!cache.verify("stored", &Nonce::new(), &answer));
        assert!(!cache.verify("stored", &nonce, &answer[..31]));
    }
}
