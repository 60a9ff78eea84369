//! Bulk data in the shape of WiredTiger files: mostly text that compresses two to four times, one fifth random.

use crate::data::ids::Numbers;
use crate::failure::{Failure, Result};
use std::fs::File;
use std::io::Write;
use std::path::Path;

const BLOCK_BYTES: usize = 64 << 10;
/// Every so many blocks, one is random.
const RANDOM_EVERY: u64 = 5;
/// Largest single file.
const FILE_BYTES: u64 = 48 << 20;
/// Twelve bits choose a word of eight bytes, so five words come of one number.
const WORD_BYTES: usize = 8;
const WORD_COUNT: usize = 4096;
/// The first file number; smaller ones belong to the documents.
const FIRST_NUMBER: u64 = 20;

/// Writes files of `megabytes` in all: four fifths collections, one fifth indexes.
pub fn make(directory: &Path, megabytes: u64, numbers: &mut Numbers) -> Result<()> {
    let words = words(numbers);
    let mut left_bytes = megabytes * 1_000_000;
    let mut number = FIRST_NUMBER;
    while left_bytes > 0 {
        let kind = if number % 5 == 4 { "index" } else { "collection" };
        let size_bytes = left_bytes.min(FILE_BYTES);
        let path = directory.join(format!("{kind}-{number}--{}.wt", numbers.next() >> 1));
        let mut file = File::create(&path).map_err(Failure::at("create", &path))?;
        write_file(&mut file, size_bytes, &words, numbers).map_err(Failure::at("write", &path))?;
        left_bytes -= size_bytes;
        number += 1;
    }
    Ok(())
}

fn words(numbers: &mut Numbers) -> Vec<[u8; WORD_BYTES]> {
    let letter = |value: u64| b"etaoinshrdlucmfw".get((value & 15) as usize).copied().unwrap_or(b'e');
    let word = |_| {
        let value = numbers.next();
        let mut word = [b' '; WORD_BYTES];
        for (position, byte) in word.iter_mut().take(7).enumerate() {
            *byte = letter(value >> (4 * position));
        }
        word
    };
    (0..WORD_COUNT).map(word).collect()
}

fn write_file(
    file: &mut File,
    size_bytes: u64,
    words: &[[u8; WORD_BYTES]],
    numbers: &mut Numbers,
) -> std::io::Result<()> {
    let mut block = Vec::with_capacity(BLOCK_BYTES + 64);
    let mut left_bytes = size_bytes;
    let mut count = 0;
    while left_bytes > 0 {
        block.clear();
        if count % RANDOM_EVERY == 3 {
            fill_random(&mut block, numbers)
        } else {
            fill_text(&mut block, words, numbers)
        }
        let take = usize::try_from(left_bytes).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        file.write_all(block.get(..take).unwrap_or_default())?;
        left_bytes -= take as u64;
        count += 1;
    }
    Ok(())
}

fn fill_random(block: &mut Vec<u8>, numbers: &mut Numbers) {
    while block.len() < BLOCK_BYTES {
        block.extend_from_slice(&numbers.next().to_le_bytes());
    }
}

fn fill_text(block: &mut Vec<u8>, words: &[[u8; WORD_BYTES]], numbers: &mut Numbers) {
    while block.len() < BLOCK_BYTES {
        let mut choice = numbers.next();
        for _ in 0..5 {
            let word = words.get((choice & 0xFFF) as usize).unwrap_or(&[b' '; WORD_BYTES]);
            block.extend_from_slice(word);
            choice >>= 12;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_add_up_and_the_names_are_not_those_of_documents() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), 3, &mut Numbers::seeded(1)).unwrap();
        let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap()).collect();
        let total: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
        assert_eq!(total, 3_000_000);
        assert!(files.iter().all(|file| file.file_name().to_string_lossy().contains("--")));
    }
}
