//! SELECT .. INTO OUTFILE.

use super::Answer;
use super::query::{BatchStream, Parameters, in_zone};
use crate::files::{Output, OutputFormat};
use crate::session::State;
use futures::StreamExt;
use mysql_protocol::OkInfo;
use sql::statement::{FileFormat, SelectInto};
use sql::temporal::Zone;
use types::Result;

impl State {
    /// Writes the rows of a query to a new file of this machine. If it fails there is no file.
    pub(crate) async fn select_into(
        &mut self,
        into: &SelectInto,
        parameters: Parameters<'_>,
    ) -> Result<Answer> {
        let bound = self.bind(&into.query, parameters).await?;
        let columns = bound.columns.clone();
        let mut rows = self.start_reading(bound).await?;
        // Times are shown as the session's zone has them; those of Parquet are of all zones.
        let (format, zone) = match &into.format {
            FileFormat::Text(format) => (OutputFormat::Text(format.clone()), Some(self.variables.zone())),
            FileFormat::Parquet => (OutputFormat::Parquet(self.aggregator.memory.clone()), None),
        };
        let files = self.aggregator.options.files.clone();
        let mut output = Output::create(&files, &into.file, format, &columns).await?;
        if let Err(error) = write_all(&mut rows, zone, &mut output).await {
            // The client hears of it when the file is gone.
            output.give_up().await;
            return Err(error);
        }
        drop(rows);
        let affected_rows = output.finish().await?;
        Ok(OkInfo { affected_rows, ..OkInfo::default() }.into())
    }
}

async fn write_all(rows: &mut BatchStream, zone: Option<Zone>, output: &mut Output) -> Result<()> {
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let batch = match zone {
            Some(zone) => in_zone(batch, zone)?,
            None => batch,
        };
        if batch.num_rows() > 0 {
            output.write(batch).await?;
        }
    }
    Ok(())
}
