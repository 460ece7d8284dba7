//! The configuration in force. A bad file never replaces a good one, but while it lies there starts
//! are refused: the shim reads the same file and would refuse them too, later and less clearly. Until
//! a first good file nobody knows whose token is whose, so tokens are left as they are.

use std::sync::Arc;

use forage_api::config::{Config, Template};
use forage_api::ident::TemplateName;
use forage_api::{ErrorKind, Failure, places};

use super::queue::Queue;

/// The configuration in force, and what is wrong with the newest one.
pub(crate) struct Settings {
    config: Arc<Config>,
    problem: Option<String>,
    /// Whether `config` was read from a file; otherwise it holds defaults.
    read: bool,
    queue: Arc<Queue>,
}

impl Settings {
    /// Takes what was read at the start. Without a good file the defaults hold.
    pub(crate) fn new(loaded: Result<Config, String>) -> Self {
        let read = loaded.is_ok();
        let (config, problem) = match loaded {
            Ok(config) => (config, None),
            Err(problem) => (Config::default(), Some(problem)),
        };
        Self {
            queue: Arc::new(Queue::new(&config)),
            config: Arc::new(config),
            problem,
            read,
        }
    }

    /// Takes what was read again.
    pub(crate) fn reload(&mut self, loaded: Result<Config, String>) {
        match loaded {
            Ok(config) => *self = Self::new(Ok(config)),
            Err(problem) => self.problem = Some(problem),
        }
    }

    /// Whether the file that was read last could be used.
    pub(crate) fn is_good(&self) -> bool {
        self.problem.is_none()
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    /// The configuration in force, for questions to which the defaults would be a wrong answer.
    pub(crate) fn read_config(&self) -> Result<Arc<Config>, Failure> {
        match &self.problem {
            Some(problem) if !self.read => Err(invalid(problem)),
            _ => Ok(self.config()),
        }
    }

    /// Where starts wait for their turn.
    pub(crate) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// The template of a start.
    pub(crate) fn template(&self, name: &TemplateName) -> Result<&Template, Failure> {
        if let Some(problem) = &self.problem {
            return Err(invalid(problem));
        }
        self.config.templates.get(name).ok_or_else(|| {
            let known: Vec<&str> = self
                .config
                .templates
                .keys()
                .map(|name| name.as_str())
                .collect();
            let hint = if known.is_empty() {
                format!("the administrator declares templates in {}", places::CONFIG)
            } else {
                format!("templates: {}", known.join(", "))
            };
            Failure::new(
                ErrorKind::NoSuchTemplate,
                format!("there is no template {name}"),
            )
            .hint(hint)
        })
    }
}

fn invalid(problem: &str) -> Failure {
    Failure::new(ErrorKind::InvalidConfig, problem).hint(format!(
        "correct it, check it with: foraged check-config {}, then: systemctl reload {}",
        places::CONFIG,
        forage_api::names::DAEMON_UNIT
    ))
}
