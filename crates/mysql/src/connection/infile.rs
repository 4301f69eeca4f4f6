//! LOAD DATA LOCAL INFILE: the client's file, as packets in the midst of a statement.

use super::{End, Wire};
use crate::protocol::Capabilities;
use crate::response::{InfileSink, OkInfo};
use types::{ErrorKind, SqlError};

const LOCAL_INFILE: u8 = 0xfb;

impl Wire {
    /// Asks for `file` and hands it to `sink`. The client sends all of it even if the sink has
    /// failed, so it is read to its end in any case.
    pub(super) async fn receive_file(
        &mut self,
        file: &str,
        mut sink: Box<dyn InfileSink>,
    ) -> Result<Result<OkInfo, SqlError>, End> {
        let received = if self.capabilities.contains(Capabilities::LOCAL_FILES) {
            self.output.packet(|p| {
                p.push(LOCAL_INFILE);
                p.extend_from_slice(file.as_bytes());
            });
            self.transfer(sink.as_mut()).await
        } else {
            Ok(Err(SqlError::new(
                ErrorKind::LocalInfileDisabled,
                "Loading local data is disabled; this must be enabled on both the client and server sides",
            )))
        };
        match received {
            Ok(Ok(())) => self.until_done(sink.finish(false)).await,
            Ok(Err(error)) => {
                self.abort(sink).await;
                Ok(Err(error))
            }
            Err(end) => {
                self.abort(sink).await;
                Err(end)
            }
        }
    }

    async fn transfer(&mut self, sink: &mut dyn InfileSink) -> Result<Result<(), SqlError>, End> {
        self.output.flush().await?;
        let mut state = Ok(());
        loop {
            let bytes = self.next_packet().await?;
            if bytes.is_empty() {
                return Ok(state);
            }
            if state.is_ok() {
                state = self.until_done(sink.write(bytes)).await?;
            }
        }
    }

    async fn abort(&mut self, sink: Box<dyn InfileSink>) {
        // The error that led here is the one to tell.
        let _ = sink.finish(true).await;
    }
}
