//! Blocks of lines.

use millstream_intake::Lines;

use super::OpenBlock;
use crate::{Block, TextBlock};

/// Lines of one block interval.
#[derive(Default)]
pub struct OpenText(Lines);

impl OpenBlock for OpenText {
    type Part = Lines;

    fn append(&mut self, part: Lines) {
        self.0.append(part);
    }

    fn records(&self) -> u64 {
        self.0.count()
    }

    fn bytes(&self) -> usize {
        self.0.text().len()
    }

    fn close(self) -> Block {
        let lines = self.0.count();
        Block::Text(TextBlock::new(self.0.into_text(), lines))
    }

    fn part_bytes(part: &Lines) -> usize {
        part.text().len()
    }

    fn part_records(part: &Lines) -> u64 {
        part.count()
    }

    fn split_part(part: &mut Lines, records: u64) -> Lines {
        part.split_off(records)
    }
}
