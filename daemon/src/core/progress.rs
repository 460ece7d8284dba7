//! What a long call tells its caller while it is under way.

use tokio::sync::mpsc;

/// How many steps may wait to be told; more are left out, they are only news.
const MOST_WAITING: usize = 64;

/// Where the steps of one call go.
#[derive(Clone)]
pub(crate) struct Progress(Option<mpsc::Sender<String>>);

impl Progress {
    /// Makes one, and what the steps are taken from.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        (Self(Some(sender)), receiver)
    }

    /// One that nobody looks at.
    pub(crate) const fn unseen() -> Self {
        Self(None)
    }

    /// Tells that a step begins.
    pub(crate) fn step(&self, step: &str) {
        if let Some(sender) = &self.0 {
            let _told = sender.try_send(step.to_owned());
        }
    }
}
