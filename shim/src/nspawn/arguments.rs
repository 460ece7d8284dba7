//! The argument vector of `systemd-nspawn`. No text of a user's is in it: only the sandbox's name
//! (a checked label), numbers, places of ours, and what the configuration says.

use forage_api::config::Network;
use forage_api::{names, places};

use crate::admission::Admitted;
use crate::network::addresses::{INSIDE, interface};
use crate::root::Places;

/// Capabilities not even the sandbox's root needs, although they hold in its user namespace only.
const DROPPED: &str = "CAP_NET_RAW,CAP_AUDIT_CONTROL,CAP_AUDIT_WRITE,CAP_SYS_BOOT,\
CAP_SYS_NICE,CAP_SYS_RESOURCE";

/// The whole vector, the program's name included.
pub fn arguments(sandbox: &Admitted, at: &Places) -> Vec<String> {
    let template = &sandbox.template;
    let mut arguments = vec![
        "systemd-nspawn".to_owned(),
        "--quiet".to_owned(),
        format!("--directory={}", at.root().display()),
        format!("--machine={}", names::machine(sandbox.id())),
        format!("--hostname={}", sandbox.record.name),
        format!("--private-users={}:65536", sandbox.base()),
        "--private-users-ownership=off".to_owned(),
        "--settings=no".to_owned(),
        "--keep-unit".to_owned(),
        "--register=yes".to_owned(),
        "--notify-ready=yes".to_owned(),
        "--no-new-privileges=yes".to_owned(),
        "--kill-signal=SIGRTMIN+4".to_owned(),
        "--link-journal=no".to_owned(),
        "--private-network".to_owned(),
        "--resolv-conf=off".to_owned(),
        "--timezone=off".to_owned(),
        "--console=read-only".to_owned(),
        format!("--drop-capability={DROPPED}"),
        bind("--bind", &at.workspace(), &template.workspace_path),
        bind(
            "--bind-ro",
            &places::secrets(sandbox.id()),
            places::INSIDE_SECRETS.as_ref(),
        ),
        bind(
            "--bind-ro",
            &at.wrappers(),
            places::INSIDE_WRAPPERS.as_ref(),
        ),
    ];
    for (number, directory) in template.config_dirs().iter().enumerate() {
        let option = if directory.read_only {
            "--bind-ro"
        } else {
            "--bind"
        };
        arguments.push(bind(option, &at.config(number), &directory.inside));
    }
    if template.network == Network::Full {
        arguments.push(format!(
            "--network-veth-extra={}:{INSIDE}",
            interface(sandbox.id())
        ));
        arguments.push(bind(
            "--bind-ro",
            &at.network(),
            places::INSIDE_NETWORK.as_ref(),
        ));
    }
    arguments.extend(["--".to_owned(), template.base.init().display().to_string()]);
    arguments
}

fn bind(option: &str, from: &std::path::Path, to: &std::path::Path) -> String {
    format!("{option}={}:{}:norbind", from.display(), to.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::admitted;

    #[test]
    fn the_vector_is_fixed() {
        let sandbox = admitted();
        let places = Places::of(sandbox.id());
        assert_eq!(
            arguments(&sandbox, &places),
            [
                "systemd-nspawn",
                "--quiet",
                "--directory=/run/firefly-forage/pin/00000abc/root",
                "--machine=forage-00000abc",
                "--hostname=s1",
                "--private-users=1879244800:65536",
                "--private-users-ownership=off",
                "--settings=no",
                "--keep-unit",
                "--register=yes",
                "--notify-ready=yes",
                "--no-new-privileges=yes",
                "--kill-signal=SIGRTMIN+4",
                "--link-journal=no",
                "--private-network",
                "--resolv-conf=off",
                "--timezone=off",
                "--console=read-only",
                "--drop-capability=CAP_NET_RAW,CAP_AUDIT_CONTROL,CAP_AUDIT_WRITE,CAP_SYS_BOOT,\
                 CAP_SYS_NICE,CAP_SYS_RESOURCE",
                "--bind=/run/firefly-forage/pin/00000abc/ws:/workspace:norbind",
                "--bind-ro=/run/firefly-forage/secrets/00000abc:/run/secrets:norbind",
                "--bind-ro=/run/firefly-forage/pin/00000abc/wrappers:/run/forage/bin:norbind",
                "--",
                "/sbin/init",
            ]
        );
    }

    #[test]
    fn a_network_is_a_link_and_a_directory() {
        let mut sandbox = admitted();
        let places = Places::of(sandbox.id());
        let without = arguments(&sandbox, &places);
        sandbox.template.network = Network::Full;
        let with = arguments(&sandbox, &places);
        let more: Vec<&String> = with.iter().filter(|a| !without.contains(a)).collect();
        assert_eq!(
            more,
            [
                "--network-veth-extra=vf-00000abc:forage0",
                "--bind-ro=/run/firefly-forage/pin/00000abc/net:/run/forage/net:norbind",
            ]
        );
        assert!(with.iter().any(|argument| argument == "--private-network"));
    }
}
