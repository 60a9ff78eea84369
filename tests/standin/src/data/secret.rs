//! Credentials at rest. Not real cryptography, but with the property that counts: readable only with the same key.

use crate::hash::hex;
use sha2::{Digest, Sha256};

/// Encrypts `plain` under the key that `docker.env` gives. The same input gives the same text.
pub fn encrypt(plain: &str, key: &str) -> String {
    let tag = tag(plain.as_bytes(), key);
    let body: Vec<u8> = plain.bytes().zip(stream(key, &tag)).map(|(byte, pad)| byte ^ pad).collect();
    format!("{tag}{}", hex(&body))
}

/// Decrypts, or says `None` if this is not the key ("bad padding", in the words of the real one).
pub fn decrypt(sealed: &str, key: &str) -> Option<String> {
    let (claimed, body) = sealed.split_at_checked(16)?;
    let bytes: Option<Vec<u8>> =
        body.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    let plain: Vec<u8> = bytes?.into_iter().zip(stream(key, claimed)).map(|(byte, pad)| byte ^ pad).collect();
    if tag(&plain, key) == claimed { String::from_utf8(plain).ok() } else { None }
}

/// The stored form of a login password.
pub fn password_hash(password: &str, salt: &str) -> String {
    hex(&Sha256::digest(format!("{salt}:{password}")))
}

/// A password that nobody knows.
pub fn unguessable() -> String {
    super::ids::uuid()
}

fn tag(plain: &[u8], key: &str) -> String {
    let digest = Sha256::new().chain_update("tag").chain_update(key).chain_update(plain).finalize();
    hex(digest.get(..8).unwrap_or_default())
}

fn stream(key: &str, tag: &str) -> impl Iterator<Item = u8> {
    let block = move |number: u64| Sha256::digest(format!("{key}|{tag}|{number}"));
    (0..).flat_map(move |number| block(number).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_reads_it() {
        let sealed = encrypt("s3cret pass", "password:salt");
        assert!(!sealed.contains("s3cret"));
        assert_eq!(decrypt(&sealed, "password:salt").as_deref(), Some("s3cret pass"));
        assert_eq!(decrypt(&sealed, "password:other"), None);
        assert_eq!(decrypt("zz", "password:salt"), None);
        let long = "k".repeat(4000);
        assert_eq!(decrypt(&encrypt(&long, "password:salt"), "password:salt"), Some(long));
    }
}
