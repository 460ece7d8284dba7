//! The connection to the system bus.

mod changes;
mod errors;
mod several;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use forage_api::bus::{ManagerProxy, OwnerOptions, SandboxRow, TemplateInfo, TokensProxy};
use forage_api::names;
use futures_core::Stream as _;
use tokio::runtime::{Builder, Runtime};
use zbus::fdo::{DBusProxy, NameOwnerChangedStream};
use zbus::proxy::{CacheProperties, MethodFlags};
use zbus::{Connection, connection};

use crate::Error;
use crate::output::progress::Steps;
use errors::{explain, no_bus};

pub use changes::{Reason, Watch};
pub(crate) use errors::explain as failed;
pub(crate) use several::Interface;

/// A connection to the system bus.
#[derive(Debug)]
pub struct Bus {
    runtime: Runtime,
    connection: Connection,
}

impl Bus {
    /// Connects.
    ///
    /// # Errors
    /// There is no system bus, or it does not let us in.
    pub fn connect() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Error::system("the connection could not be prepared", &error))?;
        let connection = runtime
            .block_on(connection::Builder::system().build())
            .map_err(|error| no_bus(&error))?;
        Ok(Self {
            runtime,
            connection,
        })
    }

    /// Makes a call of the manager.
    ///
    /// # Errors
    /// What the daemon answers, or why it did not.
    pub fn manager<R>(
        &self,
        call: impl AsyncFnOnce(&ManagerProxy<'_>) -> zbus::Result<R>,
    ) -> Result<R, Error> {
        let answer = self.runtime.block_on(async {
            let manager = self.manager_proxy().await?;
            call(&manager).await
        });
        answer.map_err(|error| explain(&error))
    }

    /// Lists sandboxes, without starting a daemon that does not run.
    ///
    /// # Errors
    /// What the daemon answers, or why it did not.
    pub fn rows_if_running(&self, options: &OwnerOptions) -> Result<Vec<SandboxRow>, Error> {
        self.call_if_running("List", &(options,))
    }

    /// Describes the templates, without starting a daemon that does not run.
    ///
    /// # Errors
    /// What the daemon answers, or why it did not.
    pub fn templates_if_running(&self) -> Result<Vec<TemplateInfo>, Error> {
        self.call_if_running("Templates", &())
    }

    fn call_if_running<A, R>(&self, method: &str, arguments: &A) -> Result<Vec<R>, Error>
    where
        A: serde::Serialize + zbus::zvariant::DynamicType,
        R: for<'a> serde::Deserialize<'a> + zbus::zvariant::Type,
    {
        let flags = MethodFlags::NO_AUTO_START;
        let answer = self.runtime.block_on(async {
            let manager = self.manager_proxy().await?;
            manager
                .inner()
                .call_with_flags(method, flags, arguments)
                .await
        });
        let answer = answer.map_err(|error| explain(&error))?;
        Ok(answer.unwrap_or_default())
    }

    /// Makes a call of the token store.
    ///
    /// # Errors
    /// What the daemon answers, or why it did not.
    pub fn tokens<R>(
        &self,
        call: impl AsyncFnOnce(&TokensProxy<'static>) -> zbus::Result<R>,
    ) -> Result<R, Error> {
        let answer = self.runtime.block_on(async {
            let tokens = self.tokens_proxy().await?;
            call(&tokens).await
        });
        answer.map_err(|error| explain(&error))
    }

    /// Makes a long call about a sandbox and shows its steps as they begin. There is no time limit:
    /// the daemon has its own.
    ///
    /// # Errors
    /// What the daemon answers, or why it did not.
    pub fn manager_with_steps<R>(
        &self,
        sandbox: &str,
        steps: &mut Steps,
        call: impl AsyncFnOnce(&ManagerProxy<'_>) -> zbus::Result<R>,
    ) -> Result<R, Error> {
        let answer = self.runtime.block_on(async {
            let manager = self.manager_proxy().await?;
            let mut signals = manager.receive_progress().await?;
            let mut call = pin!(call(&manager));
            poll_fn(|context| {
                while let Poll::Ready(Some(signal)) = Pin::new(&mut signals).poll_next(context) {
                    if let Ok(signal) = signal.args()
                        && signal.progress().name == sandbox
                    {
                        steps.step(&signal.progress().step);
                    }
                }
                call.as_mut().poll(context)
            })
            .await
        });
        answer.map_err(|error| explain(&error))
    }

    /// Drives something that uses the connection.
    pub(crate) fn block_on<R>(&self, future: impl Future<Output = R>) -> R {
        self.runtime.block_on(future)
    }

    /// Tells when a daemon comes and goes.
    pub(crate) async fn daemons(&self) -> zbus::Result<NameOwnerChangedStream> {
        let bus = DBusProxy::new(&self.connection).await?;
        let name = [(0, names::BUS_NAME)];
        bus.receive_name_owner_changed_with_args(&name).await
    }

    pub(crate) async fn tokens_proxy(&self) -> zbus::Result<TokensProxy<'static>> {
        TokensProxy::builder(&self.connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await
    }

    async fn manager_proxy(&self) -> zbus::Result<ManagerProxy<'static>> {
        ManagerProxy::builder(&self.connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await
    }
}
