//! Mount points below a mount's root. They cannot be renamed, and two Docker volumes usually lie on one device,
//! so the kernel is asked instead of comparing device numbers.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use crate::error::Trouble;
use crate::path::Rel;

/// The mount points below `root`, relative to it.
pub(crate) fn below(root: &OwnedFd) -> Result<Vec<Rel>, Trouble> {
    let unreadable = |what: &str, error: std::io::Error| Trouble::refused(format!("cannot read `{what}`: {error}"));
    let link = format!("/proc/self/fd/{}", root.as_raw_fd());
    let path = std::fs::read_link(&link).map_err(|error| unreadable(&link, error))?;
    let table = std::fs::read("/proc/self/mountinfo").map_err(|error| unreadable("/proc/self/mountinfo", error))?;
    let root = absolute(path.as_os_str().as_bytes());
    let mut found: Vec<Rel> = table.split(|byte| *byte == b'\n').filter_map(|line| mount_point(line, &root)).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// The fifth field of a line, if it lies below `root`.
fn mount_point(line: &[u8], root: &[u8]) -> Option<Rel> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    let path = absolute(&unescape(field));
    let below = path.strip_prefix(root)?;
    if below.is_empty() || (!root.is_empty() && below[0] != b'/') {
        return None;
    }
    Some(below.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).fold(Rel::root(), |at, part| at.join(part)))
}

/// `/` as the empty text, so that prefixes compare.
fn absolute(path: &[u8]) -> Vec<u8> {
    if path == b"/" { Vec::new() } else { path.to_vec() }
}

/// The kernel writes space, tab, newline and backslash as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| tail.get(..3)).flatten();
        match octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_space_is_found_and_a_longer_name_is_not() {
        let line = |at: &str| format!("36 35 98:0 / {at} rw,noatime - ext4 /dev/sda rw").into_bytes();
        assert_eq!(mount_point(&line("/v0/a\\040b/c"), b"/v0"), Some(Rel::parse("a b/c").unwrap()));
        assert_eq!(mount_point(&line("/v0"), b"/v0"), None);
        assert_eq!(mount_point(&line("/v01"), b"/v0"), None);
        assert_eq!(mount_point(&line("/x"), b""), Some(Rel::parse("x").unwrap()));
    }
}
