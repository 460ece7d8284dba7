//! `templates`: lists what sandboxes are made from.

use forage_api::bus::TemplateInfo;
use forage_api::exit;

use crate::Error;
use crate::args::{Global, Templates};
use crate::bus::Bus;
use crate::output::paint::Paint;
use crate::output::table::{Cell, table};
use crate::output::{self, json};

pub(super) fn run(global: &Global, arguments: &Templates) -> Result<u8, Error> {
    let bus = Bus::connect()?;
    let templates = bus.manager(async |manager| manager.templates().await)?;
    if arguments.json {
        output::json(&json::Templates::from(templates))?;
    } else if global.quiet {
        output::names(templates.iter().map(|template| &template.name))?;
    } else if templates.is_empty() {
        let config = forage_api::places::CONFIG;
        output::note(&format!("no templates; declare one in {config}\n"));
    } else {
        output::result(&rendered(&templates, Paint::stdout()))?;
    }
    Ok(exit::OK)
}

fn rendered(templates: &[TemplateInfo], paint: Paint) -> String {
    let rows = templates.iter().map(|template| {
        vec![
            Cell::from(template.name.as_str()),
            Cell::or_dash(Some(&template.agents.join(", "))),
            template.network.as_str().into(),
            Cell::or_dash(Some(&template.description)),
        ]
    });
    let rows: Vec<_> = rows.collect();
    table(&["NAME", "AGENTS", "NETWORK", "DESCRIPTION"], &rows, paint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn a_table_for_people() {
        insta::assert_snapshot!(rendered(&samples::templates(), Paint::plain()), @r"
        NAME    AGENTS  NETWORK  DESCRIPTION
        claude  claude  none     Claude Code on a minimal Debian
        plain   -       none     -
        ");
    }
}
