//! SHA-crypt with SHA-256 (U. Drepper, 2007), the slow hash in which caching_sha2_password stores
//! passwords. MySQL gives it 20 bytes of salt, 5,000 rounds, and keeps only the final 43 characters.

use sha2::{Digest, Sha256};

pub const TEXT_LEN: usize = 43;
const DIGEST: usize = 32;

/// The 43 characters that the hash of `password` ends in.
pub fn sha256_crypt(password: &[u8], salt: &[u8], rounds: u32) -> [u8; TEXT_LEN] {
    let repeated =
        |digest: &[u8; DIGEST], len: usize| -> Vec<u8> { digest.iter().copied().cycle().take(len).collect() };

    let alternate: [u8; DIGEST] =
        Sha256::new().chain_update(password).chain_update(salt).chain_update(password).finalize().into();

    let mut hash = Sha256::new().chain_update(password).chain_update(salt);
    hash.update(repeated(&alternate, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        hash.update(if bits & 1 == 1 { &alternate[..] } else { password });
        bits >>= 1;
    }
    let mut digest: [u8; DIGEST] = hash.finalize().into();

    let mut hash = Sha256::new();
    for _ in 0..password.len() {
        hash.update(password);
    }
    let password_sequence = repeated(&hash.finalize().into(), password.len());

    let mut hash = Sha256::new();
    for _ in 0..16 + usize::from(digest[0]) {
        hash.update(salt);
    }
    let salt_sequence = repeated(&hash.finalize().into(), salt.len());

    for round in 0..rounds {
        let mut hash = Sha256::new();
        let odd = round % 2 == 1;
        hash.update(if odd { &password_sequence[..] } else { &digest[..] });
        if !round.is_multiple_of(3) {
            hash.update(&salt_sequence);
        }
        if !round.is_multiple_of(7) {
            hash.update(&password_sequence);
        }
        hash.update(if odd { &digest[..] } else { &password_sequence[..] });
        digest = hash.finalize().into();
    }
    text(&digest)
}

/// The base 64 of crypt(3): little-endian groups of three bytes in an order of its own.
fn text(digest: &[u8; DIGEST]) -> [u8; TEXT_LEN] {
    const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = [0; TEXT_LEN];
    let mut put = |at: usize, mut group: u32, len: usize| {
        for slot in &mut out[at..at + len] {
            *slot = LETTERS[(group & 63) as usize];
            group >>= 6;
        }
    };
    let byte = |i: usize| u32::from(digest[i]);
    for group in 0..10 {
        let bytes = [group, group + 10, group + 20];
        // Each group begins one place further to the left than the one before.
        let [high, middle, low] = std::array::from_fn(|i| byte(bytes[(i + 2 * group) % 3]));
        put(group * 4, high << 16 | middle << 8 | low, 4);
    }
    put(40, byte(31) << 8 | byte(30), 3);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_crypt() {
        for (password, salt, rounds, expected) in [
            ("Hello world!", "saltstring", 5000, b"5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
            ("Hello world!", "saltstringsaltst", 10_000, b"3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
            (&"x".repeat(70), "ab", 1000, b"xspFjJNJu.a3JStB4XTEl3ed5LzcxjuHYOmmHWS9/c6"),
        ] {
            assert_eq!(&sha256_crypt(password.as_bytes(), salt.as_bytes(), rounds), expected);
        }
    }
}
