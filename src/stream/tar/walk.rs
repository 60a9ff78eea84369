//! Passes a tar on unchanged and fails where it is not whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt, stream};

use super::confine::Confined;
use super::parse::{Entry, Event, Parser};
use crate::model::part::Cover;
use crate::stream::{ByteStream, StreamError};

/// How many entries passed so far; all of them once the stream has ended.
#[derive(Clone, Debug, Default)]
pub struct EntryCount(Arc<AtomicU64>);

impl EntryCount {
    /// Folders, files, links: everything with a name.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Passes a tar through unchanged, and fails where it is cut short or would escape its folder.
///
/// Docker's archive endpoint answers 200 and ends the response cleanly even when a file shrank while it was read;
/// everything after that file is then missing. Only the archive itself tells.
pub fn walk(input: ByteStream) -> (ByteStream, EntryCount) {
    judged(input, |_| Ok(()))
}

/// As [`walk`]; also fails where an entry lies outside of `cover` or below a symbolic link. For archives of the store,
/// which somebody may have replaced.
pub fn confined(input: ByteStream, cover: &Cover) -> ByteStream {
    let mut places = Confined::to(cover);
    judged(input, move |entry| places.judge(entry)).0
}

fn judged(
    input: ByteStream,
    judge: impl FnMut(&Entry) -> Result<(), StreamError> + Send + 'static,
) -> (ByteStream, EntryCount) {
    let count = EntryCount::default();
    let state = (input, Parser::default(), count.clone(), judge);
    let output = stream::try_unfold(state, |(mut input, mut parser, count, mut judge)| async move {
        let Some(block) = input.try_next().await? else {
            return parser.finish().map(|()| None);
        };
        let mut data = block.clone();
        while let Some(event) = parser.next(&mut data)? {
            if let Event::Entry(entry) = event {
                judge(&entry)?;
                count.add_one();
            }
        }
        Ok::<_, StreamError>(Some((block, (input, parser, count, judge))))
    });
    (output.boxed(), count)
}
