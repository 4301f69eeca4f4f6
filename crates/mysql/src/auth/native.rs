//! mysql_native_password.
//!
//! Stored: `*` and SHA1(SHA1(password)) in upper case hex. The client answers a nonce with
//! SHA1(password) xor SHA1(nonce, SHA1(SHA1(password))), or with nothing for an empty password.

use super::{Nonce, same_bytes, xor};
use sha1::{Digest, Sha1};

const DIGEST: usize = 20;

fn sha1(parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

pub fn make_stored(password: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::from("*");
    for byte in sha1(&[&sha1(&[password])]) {
        // Invariant: writing to a String does not fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

pub fn parse_stored(stored: &str) -> Option<[u8; DIGEST]> {
    let hex = stored.strip_prefix('*')?.as_bytes();
    if hex.len() != 2 * DIGEST {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|d| d as u8);
    let mut digest = [0; DIGEST];
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(digest)
}

/// True if `response` was made from the password that `stored` was made from.
pub fn verify(stored: &[u8; DIGEST], nonce: &Nonce, response: &[u8]) -> bool {
    let Ok(response) = <[u8; DIGEST]>::try_from(response) else { return false };
    let password_digest = xor(response, sha1(&[nonce.bytes(), stored]));
    same_bytes(&sha1(&[&password_digest]), stored)
}

/// The client's side.
#[cfg(test)]
pub fn respond(password: &[u8], nonce: &Nonce) -> [u8; DIGEST] {
    let once = sha1(&[password]);
    xor(once, sha1(&[nonce.bytes(), &sha1(&[&once])]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form_is_that_of_mysql() {
        let stored = make_stored(b"password");
        assert_eq!(stored, "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19");
        assert!(parse_stored(&stored).is_some());
        for wrong in [
            "",
            "*",
            "*00",
            "2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
            "*+470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
        ] {
            assert_eq!(parse_stored(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_the_right_answer_passes() {
        let stored = parse_stored(&make_stored(b"secret")).unwrap();
        let nonce = Nonce::new();
        assert!(verify(&stored, &nonce, &respond(b"secret", &nonce)));
        assert!(!verify(&stored, &nonce, &respond(b"Secret", &nonce)));
        assert!(!verify(&stored, &Nonce::new(), &respond(b"secret", &nonce)));
        assert!(!verify(&stored, &nonce, b""));
        assert!(!verify(&stored, &nonce, &[0; 64]));
    }
}
