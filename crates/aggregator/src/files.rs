//! Files of the aggregator's machine that statements name: LOAD DATA INFILE reads them, SELECT .. INTO
//! OUTFILE writes them. Who may do so has the privilege FILE; where they may lie is said when the process
//! starts ([`FileAccess`]).
//!
//! Files are read and written on threads of the blocking pool. [`output`] writes one in the background of
//! a query, as text ([`text`]) or Parquet ([`parquet_out`]); [`parquet_in`] reads Parquet.

pub(crate) mod output;
mod parquet_in;
mod parquet_out;
mod text;

pub(crate) use output::{Output, OutputFormat};
pub(crate) use parquet_in::{ParquetRows, new_rows};

use std::path::{Path, PathBuf};
use types::{ErrorKind, Result, SqlError};

/// Where the files of statements may lie: MySQL's secure_file_priv.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FileAccess {
    /// Wherever the process itself may read and write.
    #[default]
    Anywhere,
    /// Nowhere: statements use no files.
    Nowhere,
    /// In this folder and those below it.
    Within(PathBuf),
}

impl FileAccess {
    /// As the option says it: a folder, `NULL` for nowhere, nothing for anywhere.
    pub fn parse(text: &str) -> FileAccess {
        match text {
            "" => FileAccess::Anywhere,
            text if text.eq_ignore_ascii_case("null") => FileAccess::Nowhere,
            folder => FileAccess::Within(PathBuf::from(folder)),
        }
    }

    /// The value of `@@secure_file_priv`.
    pub(crate) fn shown(&self) -> types::Value {
        match self {
            FileAccess::Anywhere => types::Value::Text(String::new()),
            FileAccess::Nowhere => types::Value::Null,
            FileAccess::Within(folder) => types::Value::Text(folder.display().to_string()),
        }
    }

    /// That a statement may use this file. Reads from disk. Errors: 29 and 1 for a name that is not a
    /// whole path, 1290.
    fn check(&self, path: &Path) -> Result<()> {
        let refused = || {
            SqlError::new(
                ErrorKind::OptionPreventsStatement,
                "The Pando server is running with the --secure-file-priv option so it cannot execute this \
                 statement",
            )
        };
        match self {
            FileAccess::Anywhere => Ok(()),
            FileAccess::Nowhere => Err(refused()),
            FileAccess::Within(folder) => {
                // By what the names lead to, so that no link or .. leads out of the folder. A file that is
                // to be made is not there yet, but its folder is.
                let real = match (path.canonicalize(), path.parent(), path.file_name()) {
                    (Ok(real), ..) => real,
                    (Err(_), Some(parent), Some(name)) => {
                        parent.canonicalize().map_err(|_| refused())?.join(name)
                    }
                    _ => return Err(refused()),
                };
                let folder = folder.canonicalize().map_err(|_| refused())?;
                if real.starts_with(folder) { Ok(()) } else { Err(refused()) }
            }
        }
    }

    /// Opens a file to read it.
    pub(crate) async fn open(&self, name: &str) -> Result<std::fs::File> {
        let path = whole_path(name, ErrorKind::FileNotFound)?;
        let (access, shown) = (self.clone(), name.to_string());
        blocking(move || {
            access.check(&path)?;
            std::fs::File::open(path)
                .map_err(|error| SqlError::new(ErrorKind::FileNotFound, format!("File '{shown}': {error}")))
        })
        .await
    }
}

/// A path that does not depend on the folder that the process happens to be in.
fn whole_path(name: &str, kind: ErrorKind) -> Result<PathBuf> {
    let path = PathBuf::from(name);
    if path.is_absolute() {
        return Ok(path);
    }
    let text = format!("File '{name}' must be named by its whole path on the server");
    Err(SqlError::new(kind, text))
}

/// Runs what waits for the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(SqlError::internal(format!("work on a file ended abnormally: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_where_the_option_says() {
        let folder = std::env::temp_dir().join(format!("pando-files-{}", std::process::id()));
        let inner = folder.join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        let within = FileAccess::parse(inner.to_str().unwrap());
        std::fs::write(inner.join("there"), "x").unwrap();
        std::fs::write(folder.join("outside"), "x").unwrap();
        std::os::unix::fs::symlink(folder.join("outside"), inner.join("link")).unwrap();
        let allowed = |access: &FileAccess, path: PathBuf| access.check(&path).is_ok();
        for name in ["there", "new", "../inner/new"] {
            assert!(allowed(&within, inner.join(name)), "{name}");
        }
        for name in ["../outside", "../new", "link", "nowhere/new", ".."] {
            assert!(!allowed(&within, inner.join(name)), "{name}");
        }
        assert!(allowed(&FileAccess::parse(""), folder.join("outside")));
        assert!(!allowed(&FileAccess::parse("NULL"), inner.join("there")));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
