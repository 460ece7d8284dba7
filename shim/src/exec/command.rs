//! The process that becomes the command. It begins as root of the host in the shim's namespaces and
//! gives everything up, in this order: namespaces, descriptors, capabilities, ids, system calls.
//! Until it executes the command no one in the sandbox can trace it or read its memory.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use forage_api::config::Template;
use forage_api::ident::quoted;
use forage_api::{ErrorKind, Failure, Secret};
use nix::errno::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, chdir, set_dumpable_behavior, setrlimit, setsid, umask,
};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::request::Wish;
use super::{Target, environment, passwd};
use crate::secrets::source;
use crate::sys::process::die_with_parent;
use crate::sys::{fds, keyring, privileges, signals};

/// Descriptors a program may have open at first, as systemd gives its services.
const OPEN_FILES: u64 = 1024;

/// Becomes the command. It comes back only when that failed; `report` closes when it succeeds.
pub(super) fn become_command(
    target: Target<'_>,
    wish: &Wish,
    pipes: &[OwnedFd; 3],
    report: BorrowedFd<'_>,
) -> Failure {
    let broken = |step: &str, error: io::Error| {
        Failure::new(
            ErrorKind::Internal,
            format!("cannot {step}: {}", crate::fail::reason(&error)),
        )
        .hint("if the sandbox is stopping, start it again")
    };
    if let Err(error) = enter(target, pipes, report) {
        return broken("enter the sandbox", error);
    }
    if let Err(error) = drop_rights(target.template) {
        return broken("become the agent", error);
    }
    let variables = variables(target.template, wish);
    if let Err(failure) = change_directory(target.template, wish) {
        return failure;
    }
    let candidates = candidates(&wish.arguments[0], &variables);
    let strings = environment::strings(variables);
    // The last step: from here on only what the container itself may call is called.
    if let Err(error) = target.filters.install() {
        return broken("confine the command", error);
    }
    execute(&candidates, &wish.arguments, &strings)
}

fn enter(target: Target<'_>, pipes: &[OwnedFd; 3], report: BorrowedFd<'_>) -> io::Result<()> {
    // The process namespace was chosen by the parent; this process was born into it.
    let namespaces = ThreadNameSpaceType::USER
        | ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::CONTROL_GROUP;
    // All or none, the user namespace first; root and working directory become the sandbox's.
    move_into_thread_name_spaces(target.leader, namespaces)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setsid()?;
    fds::set_stdio([pipes[0].as_fd(), pipes[1].as_fd(), pipes[2].as_fd()])?;
    fds::close_all_but(&[report])?;
    keyring::leave_session_keyring();
    Ok(())
}

fn drop_rights(template: &Template) -> io::Result<()> {
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
    privileges::empty_bounding_set()?;
    let gid = template.agent_gid.into();
    privileges::become_user(template.agent_uid.into(), gid, &[gid])?;
    // Changing ids cleared it.
    die_with_parent()?;
    signals::restore_defaults()
}

/// Runs as the agent, so what is read is what the agent may read.
fn variables(template: &Template, wish: &Wish) -> environment::Variables {
    let account = passwd::read(Path::new("/etc/passwd"), &template.agent_user);
    let read = |file: &str| -> Option<Secret> {
        source::open_and_read(&environment::credential_path(file)).ok()
    };
    environment::assemble(template, account, &wish.variables, read)
}

fn change_directory(template: &Template, wish: &Wish) -> Result<(), Failure> {
    let failed = |shown: String, error: rustix::io::Errno| {
        Failure::new(
            ErrorKind::InvalidArgument,
            format!(
                "cannot change to the directory {shown} in the sandbox: {}",
                crate::fail::reason(&error.into())
            ),
        )
        .hint("name a directory the agent can enter")
    };
    let workspace = &template.workspace_path;
    chdir(workspace).map_err(|error| failed(workspace.display().to_string(), error))?;
    if let Some(directory) = &wish.directory {
        let shown = quoted(&directory.to_string_lossy());
        chdir(directory.as_c_str()).map_err(|error| failed(shown, error))?;
    }
    Ok(())
}

/// The files that could be the program, in order.
fn candidates(program: &CString, variables: &environment::Variables) -> Vec<CString> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.clone()];
    }
    let name = OsString::from_vec(program.as_bytes().to_vec());
    environment::search_path(variables)
        .into_iter()
        .map(|directory| Path::new(&directory).join(&name).into_os_string())
        .filter_map(|path| CString::new(path.into_vec()).ok())
        .collect()
}

fn execute(candidates: &[CString], arguments: &[CString], environment: &[CString]) -> Failure {
    let shown = quoted(&arguments[0].to_string_lossy());
    let mut denied = false;
    for candidate in candidates {
        match nix::unistd::execve(candidate, arguments, environment) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => denied = true,
            Err(error) => return not_executable(&shown, error),
            Ok(never) => match never {},
        }
    }
    if denied {
        return not_executable(&shown, Errno::EACCES);
    }
    Failure::new(
        ErrorKind::CommandNotFound,
        format!("there is no command {shown} in the sandbox"),
    )
    .hint("install it in the template, or name its full path")
}

fn not_executable(shown: &str, error: Errno) -> Failure {
    let why = crate::fail::reason(&error.into());
    Failure::new(
        ErrorKind::CommandNotExecutable,
        format!("cannot execute {shown} in the sandbox: {why}"),
    )
}
