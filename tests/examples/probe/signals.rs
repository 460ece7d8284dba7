//! Prints the signals about credentials as they come, a line each, after `ready`.

use std::future::poll_fn;
use std::pin::Pin;

use forage_api::bus::{ManagerProxy, TokensProxy};
use futures_core::Stream;

use super::Done;

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// Goes on until the bus is gone.
pub(super) async fn print() -> Done {
    let connection = zbus::Connection::system().await?;
    let tokens = TokensProxy::new(&connection).await?;
    let mut rotated = tokens.receive_credential_rotated().await?;
    let mut expiring = tokens.receive_credential_expiring().await?;
    let mut revoked = tokens.receive_revoked().await?;
    ManagerProxy::new(&connection).await?.subscribe().await?;
    println!("ready");
    loop {
        tokio::select! {
            signal = next(&mut rotated) => {
                let signal = signal.ok_or("the bus is gone")?;
                let args = signal.args()?;
                println!("rotated {} {}", args.name, args.credential.source);
            }
            signal = next(&mut expiring) => {
                let signal = signal.ok_or("the bus is gone")?;
                let args = signal.args()?;
                let source = &args.credential.source;
                println!("expiring {} {source} {}", args.name, args.days_left);
            }
            signal = next(&mut revoked) => {
                let signal = signal.ok_or("the bus is gone")?;
                let args = signal.args()?;
                println!("revoked {} {}", args.name, args.held.len());
            }
        }
    }
}
