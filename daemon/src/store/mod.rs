//! What the daemon keeps on disk: records and tokens.

mod atomic;
mod disk;
mod error;
mod lock;
mod records;
mod tokens;

pub(crate) use disk::Disk;
pub(crate) use error::StoreError;
pub(crate) use lock::StateLock;
pub(crate) use records::RecordFiles;
pub(crate) use tokens::TokenDirectory;
