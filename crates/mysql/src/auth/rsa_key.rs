//! The RSA key with which clients hide a password when the connection itself is not encrypted.
//!
//! The client sends (password, zero byte) xor the repeated nonce, encrypted with OAEP and SHA-1. So
//! a recorded message cannot be replayed, but a client cannot tell this server's key from a forged
//! one: this protects against listening, not against a server in the middle.

use super::Nonce;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts;
use rsa::{Oaep, RsaPrivateKey};
use sha1::Sha1;
use types::SqlError;

pub struct RsaKey {
    private: RsaPrivateKey,
    public_pem: String,
}

impl RsaKey {
    pub const BITS: usize = 2048;

    /// Takes a second or so of one core.
    pub fn generate(bits: usize) -> Result<RsaKey, SqlError> {
        let private = RsaPrivateKey::new(&mut OsRng, bits)
            .map_err(|e| SqlError::internal(format!("cannot make an RSA key: {e}")))?;
        let public_pem = private
            .to_public_key()
            .to_public_key_pem(LineEnding::LF)
            .map_err(|e| SqlError::internal(format!("cannot encode an RSA key: {e}")))?;
        Ok(RsaKey { private, public_pem })
    }

    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The password in a client's message, or `None` if it was not made with this key and nonce.
    pub fn open(&self, message: &[u8], nonce: &Nonce) -> Option<Vec<u8>> {
        if message.len() != self.private.size() {
            return None;
        }
        // Blinded, so that the time it takes says nothing of the key.
        let mut password = self.private.decrypt_blinded(&mut OsRng, Oaep::new::<Sha1>(), message).ok()?;
        for (byte, mask) in password.iter_mut().zip(nonce.bytes().iter().cycle()) {
            *byte ^= mask;
        }
        (password.pop() == Some(0)).then_some(password)
    }

    /// The client's side.
    #[cfg(test)]
    pub fn seal(&self, password: &[u8], nonce: &Nonce) -> Vec<u8> {
        let mut message = [password, b"\0"].concat();
        for (byte, mask) in message.iter_mut().zip(nonce.bytes().iter().cycle()) {
            *byte ^= mask;
        }
        self.private.to_public_key().encrypt(&mut OsRng, Oaep::new::<Sha1>(), &message).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_password_opens_with_its_nonce_only() {
        let key = RsaKey::generate(1024).unwrap();
        let nonce = Nonce::new();
        let sealed = key.seal(b"a password longer than the nonce", &nonce);
        assert_eq!(key.open(&sealed, &nonce).as_deref(), Some(&b"a password longer than the nonce"[..]));
        assert_ne!(
            key.open(&sealed, &Nonce::new()).as_deref(),
            Some(&b"a password longer than the nonce"[..])
        );
        assert_eq!(key.open(&sealed[1..], &nonce), None);
        assert_eq!(key.open(&[7; 128], &nonce), None);
        assert!(key.public_pem().starts_with("-----BEGIN PUBLIC KEY-----\n"));
    }
}
