//! Text in MySQL's field and line format, cut at line ends into the pieces that workers parse.

use super::intake::{Intake, Parsed};
use crate::files::blocking;
use crate::session::State;
use sql::load::LoadParser;
use std::fs::File;
use std::io::Read;
use types::{ErrorKind, Result, SqlError};

/// Bytes of text that one worker parses at a time.
const CHUNK: usize = 4 << 20;

pub(super) struct TextInput {
    parser: LoadParser,
    /// True until the lines to be ignored are behind.
    at_start: bool,
    /// Text not yet given to a worker.
    pending: Vec<u8>,
}

impl TextInput {
    pub(super) fn new(parser: LoadParser) -> TextInput {
        TextInput { parser, at_start: true, pending: Vec::new() }
    }

    /// Takes more of the text. After an error nothing more may be pushed.
    pub(super) async fn push(&mut self, state: &mut State, intake: &mut Intake, bytes: &[u8]) -> Result<()> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK && self.skip_ignored_lines() {
            while self.pending.len() >= CHUNK
                && let Some(cut) = self.parser.split_point(&self.pending)
            {
                let rest = self.pending.split_off(cut);
                let chunk = std::mem::replace(&mut self.pending, rest);
                self.give(state, intake, chunk).await?;
            }
        }
        if self.pending.len() > state.aggregator.memory.limit() / 4 {
            return Err(SqlError::new(
                ErrorKind::OutOfMemory,
                "no line end was found in a quarter of the memory budget; check LINES TERMINATED BY",
            ));
        }
        Ok(())
    }

    /// Takes a file of this machine.
    pub(super) async fn push_file(
        &mut self,
        state: &mut State,
        intake: &mut Intake,
        mut file: File,
    ) -> Result<()> {
        loop {
            let (read_on, bytes) = blocking(move || {
                let mut bytes = Vec::with_capacity(CHUNK);
                match file.by_ref().take(CHUNK as u64).read_to_end(&mut bytes) {
                    Ok(_) => Ok((file, bytes)),
                    Err(error) => {
                        let text = format!("cannot read the file: {error}");
                        Err(SqlError::new(ErrorKind::FileError, text))
                    }
                }
            })
            .await?;
            if bytes.is_empty() {
                return Ok(());
            }
            self.push(state, intake, &bytes).await?;
            file = read_on;
        }
    }

    pub(super) async fn finish(&mut self, state: &mut State, intake: &mut Intake) -> Result<()> {
        if self.skip_ignored_lines() && !self.pending.is_empty() {
            let rest = std::mem::take(&mut self.pending);
            self.give(state, intake, rest).await?;
        }
        Ok(())
    }

    /// Cuts off the lines that IGNORE n LINES names. False: they are longer than what has come.
    fn skip_ignored_lines(&mut self) -> bool {
        if self.at_start {
            let Some(begin) = self.parser.after_ignored_lines(&self.pending) else { return false };
            self.pending.drain(..begin);
            self.at_start = false;
        }
        true
    }

    async fn give(&self, state: &mut State, intake: &mut Intake, chunk: Vec<u8>) -> Result<()> {
        let mut parser = self.parser.fork();
        let parse = move || {
            let mut batches = parser.push(&chunk)?;
            batches.extend(parser.finish()?);
            Ok(Parsed { rows: parser.rows(), batches, warnings: parser.warnings() })
        };
        intake.give(state, parse).await
    }
}
