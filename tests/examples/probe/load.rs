//! Many connections that ask for the same thing at once, as often as is wanted, and how long each
//! waits for its answer.

use std::collections::HashMap;
use std::time::Instant;

use forage_api::names::{BUS_NAME, MANAGER_INTERFACE, OBJECT_PATH};
use zbus::{Connection, Variant};

use super::Done;

/// Prints the microseconds of each answer.
pub(crate) async fn load(connections: usize, rounds: usize) -> Done {
    let mut all = Vec::new();
    for _ in 0..connections {
        let connection = Connection::system().await?;
        list(&connection).await?;
        all.push(connection);
    }
    for _ in 0..rounds {
        let asked: Vec<_> = all
            .iter()
            .cloned()
            .map(|connection| {
                tokio::spawn(async move {
                    let began = Instant::now();
                    list(&connection).await.map(|()| began.elapsed())
                })
            })
            .collect();
        for answer in asked {
            println!("{}", answer.await??.as_micros());
        }
    }
    Ok(())
}

/// The answer is received and not looked at: that is the client's own affair.
async fn list(connection: &Connection) -> zbus::Result<()> {
    let options: HashMap<&str, Variant<'_>> = HashMap::new();
    connection
        .call_method(
            Some(BUS_NAME),
            OBJECT_PATH,
            Some(MANAGER_INTERFACE),
            "List",
            &options,
        )
        .await
        .map(drop)
}
