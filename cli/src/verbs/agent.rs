//! `agent`: starts an agent in a sandbox's tmux session.

use forage_api::bus::TemplateInfo;
use forage_api::exit;
use forage_api::ident::AgentName;

use crate::args::{Agent, Global};
use crate::bus::Bus;
use crate::terminal::Terminal;
use crate::{Error, near, output, tmux};

pub(super) fn run(global: &Global, arguments: &Agent) -> Result<u8, Error> {
    let terminal = (!arguments.detach).then(Terminal::own).transpose()?;
    let agent = choose(global, arguments)?;
    let socket = super::converse(global, &arguments.name)?;
    let started = tmux::start(&socket, &agent, &arguments.arguments)?;
    drop(socket);
    if !started && !global.quiet {
        output::note(&format!(
            "{agent} runs in {} already; it was not started again\n",
            arguments.name
        ));
    }
    match terminal {
        Some(terminal) => super::attach::show(global, &arguments.name, terminal),
        None => {
            if started {
                let name = &arguments.name;
                global.say(&format!(
                    "{agent} was started in {name}; forage-ctl attach {name} shows it\n"
                ))?;
            }
            Ok(exit::OK)
        }
    }
}

/// The agent that was asked for, or the first of the sandbox's template.
fn choose(global: &Global, arguments: &Agent) -> Result<AgentName, Error> {
    let bus = Bus::connect()?;
    let (name, options) = (arguments.name.as_str(), global.options());
    let sandbox = bus.manager(async |manager| manager.get(name, &options).await)?;
    let templates = bus.manager(async |manager| manager.templates().await)?;
    let template = templates
        .into_iter()
        .find(|template| template.name == sandbox.template);
    of_template(&sandbox.template, template, arguments.agent.as_ref())
}

fn of_template(
    name: &str,
    template: Option<TemplateInfo>,
    asked: Option<&AgentName>,
) -> Result<AgentName, Error> {
    let mut agents = template.map(|template| template.agents).unwrap_or_default();
    agents.sort();
    let Some(asked) = asked else {
        return agents
            .first()
            .and_then(|agent| agent.parse().ok())
            .ok_or_else(|| {
                Error::new(exit::NO_SUCH, format!("template {name} has no agents"))
                    .hint("forage-ctl shell opens a shell instead")
            });
    };
    if agents.iter().any(|agent| agent == asked.as_str()) {
        return Ok(asked.clone());
    }
    let known = match agents.as_slice() {
        [] => "it has none".to_owned(),
        agents => format!("it has {}", agents.join(", ")),
    };
    let error = Error::new(
        exit::NO_SUCH,
        format!("template {name} has no agent {asked}"),
    );
    Err(near::suggesting(error.hint(known), asked.as_str(), agents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_those_of_the_template() {
        let template = |agents: &[&str]| {
            Some(TemplateInfo {
                agents: agents.iter().map(ToString::to_string).collect(),
                ..crate::verbs::samples::templates().remove(0)
            })
        };
        let asked = |agents: &[&str], asked: &str| {
            let asked = asked.parse().ok();
            of_template("t", template(agents), asked.as_ref())
        };
        assert_eq!(asked(&["codex", "claude"], "").unwrap().as_str(), "claude");
        assert_eq!(
            asked(&["codex", "claude"], "codex").unwrap().as_str(),
            "codex"
        );
        let error = asked(&["codex", "claude"], "claud").unwrap_err();
        assert_eq!(error.exit, exit::NO_SUCH);
        assert_eq!(error.hint, "did you mean claude?\nit has claude, codex");
        assert_eq!(asked(&[], "").unwrap_err().exit, exit::NO_SUCH);
        assert!(of_template("t", None, None).is_err());
    }
}
