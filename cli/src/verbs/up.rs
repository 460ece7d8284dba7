//! `up`: creates a sandbox and starts it.

use forage_api::bus::CreateOptions;

use super::report;
use crate::args::{Global, Up};
use crate::bus::Bus;
use crate::output::progress::Steps;
use crate::{Error, repository};

pub(super) fn run(global: Global, arguments: &Up) -> Result<u8, Error> {
    let options = options(&global, arguments)?;
    let (name, template) = (arguments.name.as_str(), arguments.template.as_str());
    let bus = Bus::connect()?;
    let mut steps = Steps::begin(name);
    let reply = bus.manager_with_steps(name, &mut steps, async |manager| {
        manager.create(name, template, &options).await
    });
    report::started(&global, steps, reply)
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

    fn request(line: &[&str]) -> (Up, CreateOptions) {
        let words = ["forage-ctl", "up"].iter().chain(line).map(Into::into);
        let cli = parse(words).unwrap();
        let Verb::Up(up) = cli.verb else { panic!() };
        let options = options(&cli.global, &up).unwrap();
        (up, options)
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
