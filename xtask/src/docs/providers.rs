//! The table of AI providers for the NixOS module, which judges templates before anything is built.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use forage_api::provider::{Provider, Vendor};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    generated_by: &'static str,
    providers: BTreeMap<&'static str, Row>,
    vendors: BTreeMap<&'static str, &'static [&'static str]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// The vendor its programs always need a credential of.
    vendor: Option<&'static str>,
    /// The variable that carries a token of the token store.
    token_variable: Option<&'static str>,
    /// The variable that carries a secret where the template names none.
    secret_variable: &'static str,
    /// Variables by which its program takes a credential of any vendor.
    variables: &'static [&'static str],
}

/// The file's text.
pub(super) fn table() -> Result<String> {
    let providers = Provider::ALL.map(|provider| {
        let row = Row {
            vendor: provider.vendor().map(Vendor::as_str),
            token_variable: provider.token_variable(),
            secret_variable: provider.secret_variable(),
            variables: provider.variables(),
        };
        (provider.as_str(), row)
    });
    let table = Table {
        generated_by: "cargo xtask docs",
        providers: providers.into(),
        vendors: Vendor::ALL
            .map(|vendor| (vendor.as_str(), vendor.variables()))
            .into(),
    };
    let text = serde_json::to_string_pretty(&table).context("cannot write the providers")?;
    Ok(text + "\n")
}
