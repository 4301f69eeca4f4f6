//! `LOAD DATA [LOCAL] INFILE`, of text and of Parquet.

mod intake;
mod parquet;
mod text;

pub(crate) use self::intake::BulkWriters;
use self::intake::Intake;
use self::parquet::ParquetInput;
use self::text::TextInput;
use super::Answer;
use super::duplicates::{Duplicates, Written};
use crate::admission::{Admitted, Class};
use crate::session::State;
use mysql_protocol::OkInfo;
use sql::load::LoadParser;
use sql::statement::{FileFormat, LoadData, LoadDuplicates};
use types::{ErrorKind, Result, SqlError};

/// A load under way.
pub(crate) struct Loading {
    file: String,
    input: Input,
    intake: Intake,
    _admitted: Admitted,
}

enum Input {
    Text(TextInput),
    Parquet(ParquetInput),
}

impl State {
    pub(crate) async fn load_data(&mut self, load: &LoadData) -> Result<Answer> {
        // A client that is sending cannot be stopped, so its values are taken as if it had said IGNORE.
        // Of its duplicates that would make every load a slow one: they stay errors.
        let (duplicates, is_lenient) = match load.duplicates {
            LoadDuplicates::Error => (Duplicates::Error, load.local),
            LoadDuplicates::Ignore => (Duplicates::Ignore, true),
            LoadDuplicates::Replace => (Duplicates::Replace, false),
        };
        let def = self.changed_table(&load.table)?;
        let columns: Vec<&str> = load.columns.iter().map(|column| column.value.as_str()).collect();
        let context = self.convert_context();
        let input = match &load.format {
            FileFormat::Text(format) => {
                let context = self.assign_context(is_lenient);
                let parser =
                    self.judging(is_lenient, |_| LoadParser::new(def.clone(), &columns, format, context))?;
                Input::Text(TextInput::new(parser))
            }
            FileFormat::Parquet => {
                let columns = columns.into_iter().map(str::to_string).collect();
                Input::Parquet(ParquetInput::new(def.clone(), columns, context, load.file.clone()))
            }
        };
        // It is as fast as its client and the log.
        let admitted = self.admit(Class::Light).await?;
        self.start_statement()?;
        let partitions = self.partitions(&def);
        let spread = self.aggregator.next_spread();
        let loading = Box::new(Loading {
            file: load.file.clone(),
            input,
            intake: Intake::new(def, partitions, duplicates, spread),
            _admitted: admitted,
        });
        if load.local { Ok(Answer::Load(loading)) } else { self.load_server_file(loading).await }
    }

    /// LOAD DATA without LOCAL: the file is read here.
    async fn load_server_file(&mut self, mut loading: Box<Loading>) -> Result<Answer> {
        let result = loading.load_file(self).await;
        // Writers that have not finished take back what they wrote when they go.
        drop(loading);
        Ok(self.end_statement(result).await?.into())
    }
}

impl Loading {
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    async fn load_file(&mut self, state: &mut State) -> Result<OkInfo> {
        let file = state.aggregator.options.files.open(&self.file).await?;
        match &mut self.input {
            Input::Text(input) => {
                input.push_file(state, &mut self.intake, file).await?;
                input.finish(state, &mut self.intake).await?;
            }
            Input::Parquet(input) => input.load(state, &mut self.intake, file).await?,
        }
        self.write_rest(state).await
    }

    /// Takes more of a client's file. After an error nothing more may be pushed.
    pub(crate) async fn push(&mut self, state: &mut State, bytes: &[u8]) -> Result<()> {
        match &mut self.input {
            Input::Text(input) => input.push(state, &mut self.intake, bytes).await,
            Input::Parquet(input) => input.push(state, bytes).await,
        }
    }

    /// Ends the load of a client's file and the statement; `aborted`: nothing of it is kept.
    pub(crate) async fn finish(mut self: Box<Self>, state: &mut State, aborted: bool) -> Result<OkInfo> {
        let result = if aborted {
            Err(SqlError::new(ErrorKind::QueryInterrupted, "The load was given up"))
        } else {
            self.finish_input(state).await
        };
        // Writers that have not finished take back what they wrote when they go.
        drop(self);
        state.end_statement(result).await
    }

    async fn finish_input(&mut self, state: &mut State) -> Result<OkInfo> {
        match &mut self.input {
            Input::Text(input) => input.finish(state, &mut self.intake).await?,
            Input::Parquet(input) => input.finish(state, &mut self.intake).await?,
        }
        self.write_rest(state).await
    }

    async fn write_rest(&mut self, state: &mut State) -> Result<OkInfo> {
        let (rows, written) = self.intake.finish(state).await?;
        let Written { deleted, ignored, .. } = written;
        let warnings = state.message_count();
        let info = format!("Records: {rows}  Deleted: {deleted}  Skipped: {ignored}  Warnings: {warnings}");
        Ok(OkInfo { affected_rows: written.affected(false), last_insert_id: 0, info })
    }
}
