//! PAX records: `<length> <key>=<value>\n`, where the length counts itself.

/// What extension headers say about an entry, in their order. Values are bytes: names need not be UTF-8, and
/// extended attributes are anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// Reads a PAX body. `None` where it is malformed or says a thing twice.
    pub(super) fn read(mut body: &[u8]) -> Option<Self> {
        let mut records = Self::default();
        while !body.is_empty() {
            let space = body.iter().take(20).position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&body[..space]).ok()?.parse().ok()?;
            let record = body.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            // A record without a value takes back what a header says, and not every reader knows that.
            if key.is_empty() || value.is_empty() || records.get(key).is_some() {
                return None;
            }
            records.0.push((key.to_vec(), value.to_vec()));
            body = &body[length..];
        }
        Some(records)
    }

    /// As a PAX body.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (key, value) in &self.0 {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + digits(rest);
            length = rest + digits(length);
            body.extend_from_slice(length.to_string().as_bytes());
            body.push(b' ');
            body.extend_from_slice(key);
            body.push(b'=');
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        body
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_slice())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has_prefix(&self, prefix: &[u8]) -> bool {
        self.0.iter().any(|(key, _)| key.starts_with(prefix))
    }

    /// Replaces the value where it stands, or appends it.
    pub(super) fn set(&mut self, key: &[u8], value: Vec<u8>) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_vec(), value)),
        }
    }

    /// These, and over them those of `local`. An empty local value takes the global one back.
    pub(super) fn overlaid(&self, local: Self) -> Self {
        if self.is_empty() {
            return local;
        }
        let mut merged = self.clone();
        for (key, value) in local.0 {
            merged.set(&key, value);
        }
        merged
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::Records;

    #[test]
    fn the_length_counts_its_own_digits() {
        for size in 1..1100 {
            let mut records = Records::default();
            records.set(b"path", vec![0xff; size]);
            records.set(b"SCHILY.xattr.user.a", b"x=\n y".to_vec());
            assert_eq!(Records::read(&records.write()), Some(records), "{size}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            "x",
            "9 path=a",
            "11 path=a\n",
            "9 path=ab\n",
            "5 p=\n",
            "6 =ab\n",
            "0 a=b\n",
            "6 a=b\n6 a=c\n",
            "-6 a=b\n",
        ] {
            assert_eq!(Records::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
