//! Prints the signals about credentials as they come, a line each, after `ready`.

use std::future::poll_fn;
use std::pin::Pin;

use forage_api::bus::{CredentialExpiring, CredentialRotated, ManagerProxy, Revoked, TokensProxy};
use futures_core::Stream;
use zbus::Message;

use super::Done;

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// Goes on until the bus is gone.
pub(super) async fn print() -> Done {
    let connection = zbus::Connection::system().await?;
    let tokens = TokensProxy::new(&connection).await?;
    // One stream for all of them keeps their order.
    let mut signals = tokens.inner().receive_all_signals().await?;
    ManagerProxy::new(&connection).await?.subscribe().await?;
    println!("ready");
    loop {
        let signal = next(&mut signals).await.ok_or("the bus is gone")?;
        println!("{}", line(signal)?);
    }
}

fn line(signal: Message) -> Result<String, Box<dyn std::error::Error>> {
    if let Some(signal) = CredentialRotated::from_message(signal.clone()) {
        let args = signal.args()?;
        Ok(format!("rotated {} {}", args.name, args.credential.source))
    } else if let Some(signal) = CredentialExpiring::from_message(signal.clone()) {
        let args = signal.args()?;
        let source = &args.credential.source;
        Ok(format!(
            "expiring {} {source} {}",
            args.name, args.days_left
        ))
    } else {
        let signal = Revoked::from_message(signal).ok_or("a signal nobody knows")?;
        let args = signal.args()?;
        Ok(format!("revoked {} {}", args.name, args.held.len()))
    }
}
