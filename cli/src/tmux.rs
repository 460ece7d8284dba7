//! The session of a sandbox that stays when its terminal goes: tmux's, called `forage`. What is run
//! in the sandbox for it is fixed; names and arguments come to it as words of their own.
//!
//! tmux lives as long as the sandbox, and credentials do not: it is started without them, and agents
//! through their wrappers, which read them at each launch.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use forage_api::ident::AgentName;
use forage_api::{exit, places};

use crate::Error;
use crate::exec::{Request, capture};

/// What the scripts end with.
const NO_TMUX: u8 = 40;
const NO_AGENT: u8 = 41;
const RUNS: u8 = 42;

/// Makes the session. Its shells are no login shells: they get the environment of commands, where the
/// agents' wrappers come first, unless tmux is configured to run something else.
const SESSION: &str = r#"
command -v tmux >/dev/null 2>&1 || exit 40
tmux has-session -t =forage 2>/dev/null && exit 0
window=$(tmux new-session -d -P -F '#{window_id}' -s forage -c "$PWD" 'sleep 60') || {
  # Somebody else was faster.
  tmux has-session -t =forage && exit 0
  exit 1
}
shell=$(tmux show-options -gv default-command)
if [ -z "$shell" ]; then
  shell='exec "$SHELL"'
  tmux set-option -t =forage default-command "$shell"
fi
exec tmux respawn-window -k -t "$window" -c "$PWD" "$shell"
"#;

/// Gives an agent a window, with a mark by which it is found again. One that fails stays
/// to be read, and its window says so.
const AGENT: &str = r#"
command -v tmux >/dev/null 2>&1 || exit 40
agent=$1
program=$2
shift 2
[ -x "$program" ] || exit 41
new() {
  tmux "$@" -d -P -F '#{window_id}' -n "$agent" -c "$PWD" 'sleep 60'
}
found=$(tmux list-windows -t =forage -F '#{@forage-agent} #{pane_dead} #{window_id}' 2>/dev/null |
  while read -r name dead window; do
    if [ "$name" = "$agent" ]; then
      echo "$dead $window"
      break
    fi
  done)
window=${found#* }
case $found in
  '0 '*) tmux select-window -t "$window" && exit 42 ;;
  '') if tmux has-session -t =forage 2>/dev/null; then
      window=$(new new-window -t =forage:) || exit 1
    else
      window=$(new new-session -s forage) || exit 1
      [ -n "$(tmux show-options -gv default-command)" ] ||
        tmux set-option -t =forage default-command 'exec "$SHELL"'
    fi
    tmux set-option -w -t "$window" @forage-agent "$agent" || exit 1
    tmux set-option -w -t "$window" remain-on-exit failed || :
    # Not the usual line at the end: it pushes the first out of sight, often the only one.
    tmux set-option -w -t "$window" remain-on-exit-format '' &&
      tmux set-hook -w -t "$window" pane-died \
        "rename-window -t $window '#{@forage-agent}: exit #{pane_dead_status}#{pane_dead_signal}'" || : ;;
esac
tmux rename-window -t "$window" "$agent" || :
tmux respawn-window -k -t "$window" -c "$PWD" "$program" "$@" && tmux select-window -t "$window"
"#;

/// Makes the session where there is none.
///
/// # Errors
/// It cannot be made.
pub fn make(socket: &OwnedFd) -> Result<(), Error> {
    let command = ["sh", "-c", SESSION].map(OsString::from);
    match run(socket, &command)? {
        (exit::OK, _) => Ok(()),
        (code, said) => Err(failed(code, &said)),
    }
}

/// Starts an agent in the session, which is made where there is none. `false`: it runs already.
///
/// # Errors
/// It cannot be started.
pub fn start(socket: &OwnedFd, agent: &AgentName, arguments: &[OsString]) -> Result<bool, Error> {
    let program = format!("{}/{agent}", places::INSIDE_WRAPPERS);
    let words = ["sh", "-c", AGENT, "sh", agent.as_str(), &program];
    let mut command = words.map(OsString::from).to_vec();
    command.extend(arguments.iter().map(|argument| word(argument)));
    match run(socket, &command)? {
        (exit::OK, _) => Ok(true),
        (RUNS, _) => Ok(false),
        (NO_AGENT, _) => Err(Error::failure(format!(
            "the sandbox has no agent {agent}: it was started before the template had one"
        ))
        .hint("stop the sandbox and start it again")),
        (code, said) => Err(failed(code, &said)),
    }
}

/// Shows the session.
///
/// # Errors
/// Something is malformed or beyond the limits.
pub fn show(variables: &[OsString]) -> Result<Request, Error> {
    let command = ["tmux", "attach-session", "-t", "=forage"].map(OsString::from);
    Ok(Request::new(&command, variables, None, |_| None)?.without_credentials())
}

fn run(socket: &OwnedFd, command: &[OsString]) -> Result<(u8, String), Error> {
    let request = Request::new(command, &[], None, |_| None)?.without_credentials();
    capture(socket, &request)
}

fn failed(code: u8, said: &str) -> Error {
    if code == NO_TMUX {
        return Error::failure("the sandbox has no tmux")
            .hint("have the operator add it to the template; forage-ctl shell works without");
    }
    let said = match said.trim() {
        "" => format!("it exited with {code}"),
        said => said.to_owned(),
    };
    Error::failure(format!("tmux in the sandbox failed: {said}"))
}

/// A word as tmux takes it: at the end of one, a semicolon would begin another command.
fn word(argument: &OsStr) -> OsString {
    let bytes = argument.as_bytes();
    match bytes.split_last() {
        Some((b';', rest)) => OsString::from_vec([rest, b"\\;"].concat()),
        _ => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_stay_in_their_words() {
        for (given, sent) in [
            ("a", "a"),
            ("", ""),
            (";", "\\;"),
            ("a;", "a\\;"),
            ("a\\;", "a\\\\;"),
            ("a;b", "a;b"),
        ] {
            assert_eq!(word(OsStr::new(given)), OsStr::new(sent));
        }
    }

    #[test]
    fn what_failed_is_said() {
        assert!(failed(NO_TMUX, "").message.contains("has no tmux"));
        assert!(
            failed(1, " no space\n")
                .message
                .ends_with("failed: no space")
        );
        assert!(failed(3, "").message.ends_with("it exited with 3"));
    }
}
