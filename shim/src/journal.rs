//! The shim's log: the journal with fields of its own under systemd, standard error otherwise.
//!
//! Events carry `FORAGE_EVENT` (what happened, one word); every line carries `FORAGE_ID`,
//! `FORAGE_OPERATION` and, where there is a record, `FORAGE_SANDBOX` and `FORAGE_UID`.

use forage_api::ident::SandboxId;
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::record;

/// Starts logging for one run of the program.
pub fn start(id: SandboxId, operation: &str) {
    let name = record::name_of(id);
    let mut fields = vec![
        ("FORAGE_ID", id.to_string()),
        ("FORAGE_OPERATION", operation.to_owned()),
    ];
    if let Some(name) = name {
        fields.push(("FORAGE_SANDBOX", name.name.to_string()));
        fields.push(("FORAGE_UID", name.owner.to_string()));
    }
    let journal = std::env::var_os("JOURNAL_STREAM")
        .and_then(|_| tracing_journald::layer().ok())
        .map(|layer| {
            layer
                .with_field_prefix(None)
                .with_syslog_identifier("forage-shim".to_owned())
                .with_custom_fields(fields)
        });
    let by_hand = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .without_time()
            .with_target(false)
    });
    // A second start in one process (tests) keeps the first.
    tracing_subscriber::registry()
        .with(LevelFilter::from_level(Level::INFO))
        .with(journal)
        .with(by_hand)
        .try_init()
        .ok();
}
