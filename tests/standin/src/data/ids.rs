//! Ids: random at run time, predictable while seeding.

use rand::Rng;

/// Where numbers come from. Small and fast, and the same on every machine for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Numbers {
    state: u64,
}

impl Numbers {
    /// The same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed ^ 0x5DEE_CE66_D1CE_4E5B }
    }

    /// Numbers nobody can guess.
    pub fn random() -> Self {
        Self { state: rand::rng().random() }
    }

    /// The next number.
    #[inline]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// One of `choices`.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        choices.get(index)
    }

    /// An ObjectId: 24 hexadecimal digits.
    pub fn object_id(&mut self) -> String {
        format!("{:016x}{:08x}", self.next(), self.next() >> 32)
    }

    /// A version 4 UUID.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let (first, second, third) = (high >> 32, high >> 16 & 0xFFFF, high & 0x0FFF);
        format!(
            "{first:08x}-{second:04x}-4{third:03x}-{:04x}-{:012x}",
            low >> 48 & 0x3FFF | 0x8000,
            low & 0xFFFF_FFFF_FFFF
        )
    }

    /// Thirteen letters and digits.
    pub fn secret(&mut self) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..13).filter_map(|_| self.pick(ALPHABET).copied()).map(char::from).collect()
    }
}

/// A fresh UUID.
pub fn uuid() -> String {
    Numbers::random().uuid()
}

/// Does that look like a version 4 UUID?
pub fn is_uuid4(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts.as_slice(), [a, b, c, d, e] if [a.len(), b.len(), c.len(), d.len(), e.len()] == [8, 4, 4, 4, 12]
        && c.starts_with('4') && parts.iter().all(|part| hex(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_shape_that_clients_expect() {
        let mut numbers = Numbers::seeded(7);
        assert_eq!(numbers.object_id().len(), 24);
        assert!(is_uuid4(&numbers.uuid()) && is_uuid4(&uuid()));
        assert!(!is_uuid4("1-2-3-4-5") && !is_uuid4("not a uuid"));
        assert_eq!(numbers.secret().len(), 13);
        assert_eq!(Numbers::seeded(7).object_id(), Numbers::seeded(7).object_id());
        assert_ne!(Numbers::random().object_id(), Numbers::random().object_id());
    }
}
