//! The shim's log: the journal with fields of its own under systemd, standard error otherwise.
//!
//! Events carry `FORAGE_EVENT` (what happened, one word); every line carries `FORAGE_SANDBOX`,
//! `FORAGE_OPERATION` and, once it is known, `FORAGE_UID`.

use forage_api::ident::SandboxId;
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging for one run of the program.
pub fn start(id: SandboxId, operation: &str) {
    let journal = std::env::var_os("JOURNAL_STREAM")
        .and_then(|_| tracing_journald::layer().ok())
        .map(|layer| {
            layer
                .with_field_prefix(None)
                .with_syslog_identifier("forage-shim".to_owned())
                .with_custom_fields([
                    ("FORAGE_SANDBOX", id.to_string().as_str()),
                    ("FORAGE_OPERATION", operation),
                ])
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
