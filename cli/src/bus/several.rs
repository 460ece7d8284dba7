//! The same call about several sandboxes, some at a time.

use std::ops::ControlFlow;

use forage_api::bus::{ManagerProxy, TokensProxy};
use tokio::task::{JoinSet, LocalSet};

use super::Bus;
use super::errors::explain;
use crate::Error;

/// How many calls are under way at once: fewer than the daemon lets a user have.
const AT_ONCE: usize = 8;

/// One of the daemon's interfaces.
pub(crate) trait Interface: Clone + 'static {
    /// Makes its calls on a connection.
    fn of(bus: &Bus) -> impl Future<Output = zbus::Result<Self>>;
}

impl Interface for ManagerProxy<'static> {
    async fn of(bus: &Bus) -> zbus::Result<Self> {
        bus.manager_proxy().await
    }
}

impl Interface for TokensProxy<'static> {
    async fn of(bus: &Bus) -> zbus::Result<Self> {
        bus.tokens_proxy().await
    }
}

impl Bus {
    /// Makes a call for each name. `ended` gets each name's place and answer as it comes; once it
    /// breaks, no further call is begun.
    ///
    /// # Errors
    /// The daemon cannot be called at all.
    pub(crate) fn several<P: Interface, R: 'static, F>(
        &self,
        names: &[String],
        call: impl Fn(P, String) -> F,
        mut ended: impl FnMut(usize, Result<R, Error>) -> ControlFlow<()>,
    ) -> Result<(), Error>
    where
        F: Future<Output = zbus::Result<R>> + 'static,
    {
        let tasks = async {
            let interface = P::of(self).await.map_err(|error| explain(&error))?;
            let mut waiting = names.iter().cloned().enumerate();
            let mut calls = JoinSet::new();
            loop {
                while calls.len() < AT_ONCE
                    && let Some((place, name)) = waiting.next()
                {
                    let call = call(interface.clone(), name);
                    calls.spawn_local(async move { (place, call.await) });
                }
                let Some(answer) = calls.join_next().await else {
                    return Ok(());
                };
                // A call that panicked ends the program by itself.
                let Ok((place, answer)) = answer else {
                    continue;
                };
                if ended(place, answer.map_err(|error| explain(&error))).is_break() {
                    waiting.by_ref().for_each(drop);
                }
            }
        };
        LocalSet::new().block_on(&self.runtime, tasks)
    }
}
