//! `up`: creates a sandbox and starts it.

use forage_api::ErrorKind;
use forage_api::bus::{CreateOptions, SandboxInfo, SandboxState};

use super::report;
use crate::args::{Global, Up};
use crate::bus::Bus;
use crate::output::progress::Steps;
use crate::{Error, near, repository};

pub(super) fn run(global: Global, arguments: &Up) -> Result<u8, Error> {
    let options = options(&global, arguments)?;
    let (name, template) = (arguments.name.as_str(), arguments.template.as_str());
    let bus = Bus::connect()?;
    global.offer_host_login(&bus);
    let mut steps = Steps::begin(name, global.progress());
    let reply = bus.manager_with_steps(name, &mut steps, async |manager| {
        manager.create(name, template, &options).await
    });
    report::started(&global, steps, reply).map_err(|error| match error.kind {
        Some(ErrorKind::SandboxExists) => {
            let owner = global.options();
            match bus.manager(async |manager| manager.get(name, &owner).await) {
                Ok(there) => exists(error, &there, &options, template),
                Err(_) => error,
            }
        }
        _ => near::template(error, template, &bus),
    })
}

/// Tells what the sandbox that has the name is like, and how to go on with it.
fn exists(mut error: Error, there: &SandboxInfo, asked: &CreateOptions, template: &str) -> Error {
    let name = &there.name;
    let owner = asked.owner.as_deref();
    let owner = owner.map_or_else(String::new, |owner| format!(" --owner {owner}"));
    let mut is = vec![there.state.clone()];
    if there.template != template && !there.template.is_empty() {
        is.push(format!("of template {}", there.template));
    }
    if there.repository != asked.repository {
        is.push(match &there.repository {
            Some(repository) => format!("with the repository {repository}"),
            None => "with a workspace of its own".into(),
        });
    }
    error.message = format!("there is a sandbox {name} already: {}", is.join(", "));
    let enter = match there.state.parse() {
        Ok(SandboxState::Running) => format!("forage-ctl shell {name}{owner} enters it"),
        Ok(SandboxState::Stopped | SandboxState::Failed) => {
            format!("forage-ctl start {name}{owner} starts it again")
        }
        Ok(SandboxState::Frozen) => {
            format!("forage-ctl auth refresh {name}{owner} lets it go on")
        }
        _ => format!("forage-ctl status {name}{owner} tells more"),
    };
    error.hint =
        format!("{enter}\nforage-ctl down {name}{owner} removes it; or choose another name");
    error
}

fn options(global: &Global, arguments: &Up) -> Result<CreateOptions, Error> {
    let repository = arguments.repo.as_deref().map(repository::absolute);
    Ok(CreateOptions {
        owner: global.owner.clone(),
        repository: repository.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Verb, parse};
    use crate::verbs::samples;

    fn request(line: &[&str]) -> (Up, CreateOptions) {
        let words = ["forage-ctl", "up"].iter().chain(line).map(Into::into);
        let cli = parse(words).unwrap();
        let Verb::Up(up) = cli.verb else { panic!() };
        let options = options(&cli.global, &up).unwrap();
        (up, options)
    }

    #[test]
    fn a_second_up_says_what_there_is() {
        let error = || Error::new(4, "there is a sandbox s1 already");
        let mut there = samples::running();
        let mut asked = CreateOptions {
            owner: None,
            repository: there.repository.clone(),
        };
        let said = exists(error(), &there, &asked, "claude");
        assert_eq!(said.message, "there is a sandbox s1 already: running");
        insta::assert_snapshot!(said.hint, @r"
        forage-ctl shell s1 enters it
        forage-ctl down s1 removes it; or choose another name
        ");
        there.state = "stopped".into();
        asked.owner = Some("bob".into());
        asked.repository = None;
        let said = exists(error(), &there, &asked, "plain");
        assert_eq!(
            said.message,
            "there is a sandbox s1 already: stopped, of template claude, \
             with the repository /home/alice/repo"
        );
        insta::assert_snapshot!(said.hint, @r"
        forage-ctl start s1 --owner bob starts it again
        forage-ctl down s1 --owner bob removes it; or choose another name
        ");
        let there = samples::unreadable();
        let said = exists(error(), &there, &asked, "plain");
        assert_eq!(said.message, "there is a sandbox s2 already: unreadable");
        assert!(
            said.hint
                .starts_with("forage-ctl status s2 --owner bob tells more\n")
        );
    }

    #[test]
    fn requests() {
        let (up, given) = request(&["s1", "-t", "claude"]);
        assert_eq!((up.name.as_str(), up.template.as_str()), ("s1", "claude"));
        assert_eq!(given, CreateOptions::default());
        let line = [
            "s1",
            "--template=c.2",
            "--repo=/a/./b",
            "-v",
            "--owner",
            "bob",
        ];
        let (up, given) = request(&line);
        assert_eq!(up.template.as_str(), "c.2");
        assert_eq!(given.owner.as_deref(), Some("bob"));
        assert_eq!(given.repository.as_deref(), Some("/a/b"));
    }
}
