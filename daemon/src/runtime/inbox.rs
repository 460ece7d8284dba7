//! What arrives in the directories of sockets and reports, by inotify. Files there appear by rename,
//! so what is seen is whole.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use forage_api::ident::SandboxId;
use forage_api::places;
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

/// Something arrived; look again.
pub(crate) type Arrivals = watch::Receiver<u64>;

/// The watch on both directories.
#[derive(Debug)]
pub(crate) struct Inbox {
    inotify: AsyncFd<OwnedFd>,
    arrivals: watch::Sender<u64>,
    sockets: mpsc::UnboundedSender<SandboxId>,
}

impl Inbox {
    /// Begins to watch. Ids of sockets that appear go to `sockets`.
    pub(crate) fn open(sockets: mpsc::UnboundedSender<SandboxId>) -> std::io::Result<Self> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        for directory in [places::SHIM_SOCKETS, places::RESULTS] {
            watch_directory(&inotify, Path::new(directory))?;
        }
        #[expect(
            deprecated,
            reason = "an OwnedFd stays open and the same for as long as it lives, which is all the \
                      unsafe replacement asks for"
        )]
        let inotify = AsyncFd::new(inotify)?;
        Ok(Self {
            inotify,
            arrivals: watch::Sender::new(0),
            sockets,
        })
    }

    /// A look at the arrivals.
    pub(crate) fn arrivals(&self) -> Arrivals {
        self.arrivals.subscribe()
    }

    /// Watches until that fails.
    pub(crate) async fn run(self) -> std::io::Error {
        loop {
            let mut ready = match self.inotify.readable().await {
                Ok(ready) => ready,
                Err(error) => return error,
            };
            if let Err(error) = self.drain() {
                return error;
            }
            ready.clear_ready();
            self.arrivals
                .send_modify(|number| *number = number.wrapping_add(1));
        }
    }

    /// Reads what there is.
    fn drain(&self) -> std::io::Result<()> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(self.inotify.get_ref(), &mut space);
        loop {
            match reader.next() {
                Ok(event) => {
                    let id = event.file_name().and_then(|name| {
                        name.to_str()
                            .ok()?
                            .strip_suffix(".sock")?
                            .parse::<SandboxId>()
                            .ok()
                    });
                    if let Some(id) = id {
                        let _sent = self.sockets.send(id);
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn watch_directory(inotify: &OwnedFd, directory: &Path) -> std::io::Result<()> {
    let flags = WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::CREATE;
    add_watch(inotify, directory, flags | WatchFlags::ONLYDIR).map_err(|error| {
        let error = std::io::Error::from(error);
        let path = directory.display();
        std::io::Error::new(
            error.kind(),
            format!("cannot watch {path}: {error}; systemd-tmpfiles --create makes it"),
        )
    })?;
    Ok(())
}
