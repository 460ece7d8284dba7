//! The process that becomes the command. It begins as root of the host in the shim's namespaces and
//! gives everything up, in this order: namespaces, descriptors, capabilities, ids, system calls.
//! Until it executes the command no one in the sandbox can trace it or read its memory.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use forage_api::config::Template;
use forage_api::ident::quoted;
use forage_api::shim::frame;
use forage_api::{ErrorKind, Failure, Secret};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, chdir, set_dumpable_behavior, setrlimit, setsid, umask,
};
use rustix::thread::{CapabilitySet, ThreadNameSpaceType, move_into_thread_name_spaces};
use serde::{Deserialize, Serialize};

use super::passwd::{self, Entry};
use super::program::Program;
use super::request::{Streams, User, Wish};
use super::{Target, environment, pty, terminfo};
use crate::secrets::source;
use crate::sys::process::die_with_parent;
use crate::sys::{fds, keyring, privileges, signals};

/// Descriptors a program may have open at first, as systemd gives its services.
const OPEN_FILES: u64 = 1024;

/// What this process tells the one that began it, before it has become the command.
#[derive(Serialize, Deserialize)]
pub(super) enum Report {
    /// The terminal is made; its master comes with this.
    Terminal,
    /// The command cannot be executed.
    Failed(Failure),
}

/// Becomes the command. It comes back only when that failed; `report` closes when it succeeds.
/// `capabilities` is what root may have.
pub(super) fn become_command(
    target: Target<'_>,
    wish: &Wish,
    streams: &Streams,
    capabilities: CapabilitySet,
    report: BorrowedFd<'_>,
) -> Failure {
    let broken = |step: &str, error: io::Error| {
        Failure::new(
            ErrorKind::Internal,
            format!("cannot {step}: {}", crate::fail::reason(&error)),
        )
        .hint("if the sandbox is stopping, start it again")
    };
    if let Err(error) = enter(target, streams, report) {
        return broken("enter the sandbox", error);
    }
    if let Err(error) = drop_rights(target.template, wish.user, capabilities) {
        return broken("become the user", error);
    }
    if let Err(error) = take_terminal(streams, report) {
        return broken("make a terminal in the sandbox", error);
    }
    let account = account(target.template, wish.user);
    let variables = variables(target.template, wish, &account, streams);
    if let Err(failure) = change_directory(target.template, wish, &account) {
        return failure;
    }
    let program = Program::choose(&wish.arguments, &account.shell, &variables);
    let strings = environment::strings(variables);
    // The last step: from here on only what the container itself may call is called.
    if let Err(error) = target.filters.install() {
        return broken("confine the command", error);
    }
    program.execute(&strings)
}

fn enter(target: Target<'_>, streams: &Streams, report: BorrowedFd<'_>) -> io::Result<()> {
    // The process namespace was chosen by the parent; this process was born into it.
    let namespaces = ThreadNameSpaceType::USER
        | ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::CONTROL_GROUP;
    // All or none, the user namespace first; root and working directory become the sandbox's.
    move_into_thread_name_spaces(target.leader.as_fd(), namespaces)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setsid()?;
    match streams {
        Streams::Pipes(pipes) => {
            fds::set_stdio([pipes[0].as_fd(), pipes[1].as_fd(), pipes[2].as_fd()])?;
        }
        // The terminal takes their place before anything is executed. Until then they are not the
        // shim's, whatever happens.
        Streams::Terminal(_) => fds::set_stdio([report; 3])?,
    }
    fds::close_all_but(&[report])?;
    keyring::leave_session_keyring();
    Ok(())
}

fn drop_rights(template: &Template, user: User, capabilities: CapabilitySet) -> io::Result<()> {
    umask(rustix::fs::Mode::from_raw_mode(0o022));
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let soft = limit
        .maximum
        .map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(soft),
            maximum: limit.maximum,
        },
    )?;
    match user {
        User::Agent => {
            privileges::empty_bounding_set()?;
            let gid = template.agent_gid.into();
            privileges::become_user(template.agent_uid.into(), gid, &[gid])?;
        }
        User::Root => privileges::become_root(capabilities)?,
    }
    // Changing ids cleared it.
    die_with_parent()?;
    signals::restore_defaults()
}

/// Makes the terminal, if there is to be one, as the user it is for: so it belongs to that user.
fn take_terminal(streams: &Streams, report: BorrowedFd<'_>) -> io::Result<()> {
    let Streams::Terminal(like) = streams else {
        return Ok(());
    };
    let master = pty::take(like)?;
    frame::send(report, &Report::Terminal, &[], &[master.as_fd()])
}

fn account(template: &Template, user: User) -> Entry {
    let (name, home) = match user {
        User::Agent => {
            let name = template.agent_user.as_str();
            (name, format!("/home/{name}"))
        }
        User::Root => ("root", "/root".to_owned()),
    };
    let found = passwd::read(Path::new("/etc/passwd"), name);
    found.unwrap_or_else(|| Entry {
        home,
        shell: passwd::SHELL.to_owned(),
    })
}

/// Runs as the user, so what is read is what that user may read.
fn variables(
    template: &Template,
    wish: &Wish,
    account: &Entry,
    streams: &Streams,
) -> environment::Variables {
    let terminal = match streams {
        Streams::Terminal(like) => Some(terminfo::known(&like.kind)),
        Streams::Pipes(_) => None,
    };
    let asked = environment::Asked {
        template,
        user: wish.user,
        account,
        terminal,
        given: &wish.variables,
        credentials: wish.credentials,
    };
    environment::assemble(&asked, |file| -> Option<Secret> {
        source::open_and_read(&environment::credential_path(file)).ok()
    })
}

fn change_directory(template: &Template, wish: &Wish, account: &Entry) -> Result<(), Failure> {
    let failed = |shown: String, error: rustix::io::Errno| {
        Failure::new(
            ErrorKind::InvalidArgument,
            format!(
                "cannot change to the directory {shown} in the sandbox: {}",
                crate::fail::reason(&error.into())
            ),
        )
        .hint("name a directory the user can enter")
    };
    if wish.user == User::Root {
        // Joining the sandbox has set it to the root.
        chdir(&account.home).ok();
    } else {
        let workspace = &template.workspace_path;
        chdir(workspace).map_err(|error| failed(workspace.display().to_string(), error))?;
    }
    if let Some(directory) = &wish.directory {
        let shown = quoted(&directory.to_string_lossy());
        chdir(directory.as_c_str()).map_err(|error| failed(shown, error))?;
    }
    Ok(())
}
