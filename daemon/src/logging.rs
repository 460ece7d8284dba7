//! The journal under systemd, standard error by hand.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Begins to log.
pub(crate) fn init(level: LevelFilter) {
    let registry = tracing_subscriber::registry().with(level);
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    match under_systemd.then(tracing_journald::layer) {
        // Without the prefix our fields have the names we gave them.
        Some(Ok(journal)) => registry.with(journal.with_field_prefix(None)).init(),
        Some(Err(_)) | None => {
            let plain = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .without_time()
                .with_target(false)
                .with_ansi(false);
            registry.with(plain).init();
        }
    }
}
