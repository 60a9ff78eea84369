//! One 512-byte header, read strictly.

use super::BLOCK_BYTES;

/// A block with a right checksum.
#[derive(Clone)]
pub(super) struct Header(pub(super) [u8; BLOCK_BYTES]);

/// What kind of entry follows a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with content.
    File,
    /// A second name for a file that came before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A folder.
    Folder,
    /// A device or a pipe.
    Special,
}

/// What a header is for.
pub(super) enum Role {
    Entry(Kind),
    /// PAX records for the next entry.
    Pax,
    /// PAX records for all that follow.
    PaxGlobal,
    /// GNU: the name of the next entry.
    LongName,
    /// GNU: the link target of the next entry.
    LongLink,
    /// Nothing that we could carry.
    Unknown,
}

const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;
const MAGIC: std::ops::Range<usize> = 257..263;
const PREFIX: std::ops::Range<usize> = 345..500;

impl Header {
    /// `None` where the checksum is not right.
    pub(super) fn read(block: [u8; BLOCK_BYTES]) -> Option<Self> {
        let header = Self(block);
        (number(&header.0[CHECKSUM])? == u64::from(header.sum())).then_some(header)
    }

    /// A header of its own for PAX records of `size` bytes.
    pub(super) fn pax(size: usize) -> Self {
        let mut header = Self([0; BLOCK_BYTES]);
        header.set_name(b"PaxHeaders.0/entry");
        header.0[100..108].copy_from_slice(b"0000644\0");
        header.0[108..116].copy_from_slice(b"0000000\0");
        header.0[116..124].copy_from_slice(b"0000000\0");
        header.0[SIZE].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header.0[136..148].copy_from_slice(b"00000000000\0");
        header.0[TYPE] = b'x';
        header.0[MAGIC].copy_from_slice(b"ustar\0");
        header.0[263..265].copy_from_slice(b"00");
        header
    }

    /// The block with its checksum set.
    pub(super) fn sealed(mut self) -> [u8; BLOCK_BYTES] {
        let sum = self.sum();
        self.0[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0
    }

    fn sum(&self) -> u32 {
        let (before, after) = (&self.0[..CHECKSUM.start], &self.0[CHECKSUM.end..]);
        let blanks = CHECKSUM.len() as u32 * u32::from(b' ');
        before.iter().chain(after).map(|byte| u32::from(*byte)).sum::<u32>() + blanks
    }

    pub(super) fn role(&self, name: &[u8]) -> Role {
        match self.0[TYPE] {
            // Before ustar a folder was a file whose name ends in a slash.
            0 | b'0' if name.ends_with(b"/") => Role::Entry(Kind::Folder),
            0 | b'0' | b'7' => Role::Entry(Kind::File),
            b'1' => Role::Entry(Kind::HardLink),
            b'2' => Role::Entry(Kind::Symlink),
            b'3' | b'4' | b'6' => Role::Entry(Kind::Special),
            b'5' => Role::Entry(Kind::Folder),
            b'x' => Role::Pax,
            b'g' => Role::PaxGlobal,
            b'L' => Role::LongName,
            b'K' => Role::LongLink,
            _ => Role::Unknown,
        }
    }

    pub(super) fn size(&self) -> Option<u64> {
        number(&self.0[SIZE])
    }

    /// POSIX ustar, in which a long name may be split over two fields.
    pub(super) fn is_ustar(&self) -> bool {
        self.0[MAGIC] == *b"ustar\0"
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[NAME]);
        let prefix = text(&self.0[PREFIX]);
        if self.is_ustar() && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[LINK]).to_vec()
    }

    /// Writes as much of the name as there is room for; whether all of it fitted.
    pub(super) fn set_name(&mut self, name: &[u8]) -> bool {
        let ustar = self.is_ustar();
        if ustar {
            self.0[PREFIX].fill(0);
        }
        if ustar
            && name.len() > NAME.len()
            && let Some((prefix, rest)) = ustar_split(name)
        {
            put(&mut self.0[PREFIX], prefix);
            return put(&mut self.0[NAME], rest);
        }
        put(&mut self.0[NAME], name)
    }

    /// Writes as much of the link's target as there is room for; whether all of it fitted.
    pub(super) fn set_link(&mut self, target: &[u8]) -> bool {
        put(&mut self.0[LINK], target)
    }
}

/// Where a slash lets both halves fit: prefix and name, neither empty.
fn ustar_split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let fits = |at: &usize| *at > 0 && *at <= PREFIX.len() && (1..=NAME.len()).contains(&(name.len() - at - 1));
    let at = (0..name.len()).filter(|at| name[*at] == b'/').find(fits)?;
    Some((&name[..at], &name[at + 1..]))
}

fn put(field: &mut [u8], value: &[u8]) -> bool {
    field.fill(0);
    let fits = value.len().min(field.len());
    field[..fits].copy_from_slice(&value[..fits]);
    fits == value.len()
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal, or GNU's binary form for what octal cannot hold. Negative numbers are none.
fn number(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let (first, rest) = field.split_first()?;
        let start = u64::from(first & 0x7f);
        return rest.iter().try_fold(start, |value, byte| (value >> 56 == 0).then_some(value << 8 | u64::from(*byte)));
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}
