//! One thread for everything that touches the disk: writes happen one after the other in the order they
//! were asked for, and look-ups of users that hang elsewhere cannot keep it from working.

use std::io;
use std::sync::mpsc;

use forage_api::{ErrorKind, Failure};
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// A handle on the thread, which ends with the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Disk(mpsc::Sender<Work>);

impl Disk {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, queue) = mpsc::channel::<Work>();
        std::thread::Builder::new()
            .name("disk".into())
            .spawn(move || queue.into_iter().for_each(|work| work()))?;
        Ok(Self(sender))
    }

    /// Has work done there.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, done) = oneshot::channel();
        let broken = || Failure::new(ErrorKind::Internal, "the thread of the disk has ended");
        let work = move || {
            let _asked = sender.send(work());
        };
        self.0.send(Box::new(work)).map_err(|_| broken())?;
        done.await.map_err(|_| broken())
    }
}
