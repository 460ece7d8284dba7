//! Completing command lines.

use clap::Args;

use crate::complete::Shell;

/// Print the script that completes command lines in a shell
///
/// A package has installed it. Verbs, options, and the names of sandboxes and templates complete.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(forage-ctl completion bash)
  forage-ctl completion zsh > ~/.zfunc/_forage-ctl
  forage-ctl completion fish > ~/.config/fish/completions/forage-ctl.fish")]
pub struct Completion {
    /// The shell
    pub shell: Shell,
}
