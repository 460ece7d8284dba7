//! A message bus of a test's own, with the shipped policy and the testbed's people. It needs no
//! systemd: users and groups are files mounted over this machine's where only the bus sees them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::testbed::repository;

/// Name, uid (and gid), and whether in group `forage`.
const PEOPLE: &[(&str, u32, bool)] = &[
    ("root", 0, false),
    ("foraged", 990, true),
    ("alice", 1000, true),
    ("bob", 1001, true),
    ("mallory", 1002, false),
    ("nobody", 65534, false),
];

const GROUP: u32 = 995;

/// The system bus' own rules: nobody owns a name or calls a method unless a policy file says so.
const CONFIG: &str = r#"<busconfig>
  <type>system</type>
  <listen>unix:path=DIRECTORY/socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus"
           send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  <policy user="root">
    <allow own_prefix="org.freedesktop"/>
    <allow send_destination="org.freedesktop.DBus"
           send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
  <policy context="default">
    <allow send_destination="org.freedesktop.systemd1"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>
  <include>POLICY</include>
</busconfig>
"#;

/// The bus ends when its input does, so it cannot outlive the test, however that ends.
const START: &str = r#"
cd "$1" && mount --bind passwd /etc/passwd && mount --bind group /etc/group || exit
setpriv --pdeathsig KILL dbus-daemon --config-file=bus.conf --nofork --nopidfile --print-address \
  2>bus.log &
read -r end
kill $!
wait
"#;

/// A running private bus. It ends when this is dropped.
#[derive(Debug)]
pub struct PrivateBus {
    dir: PathBuf,
    address: String,
    daemon: Child,
    input: Option<ChildStdin>,
}

impl PrivateBus {
    /// Starts one. Needs root, for the users.
    pub fn start() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("forage-bus-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))
            .context("cannot open the bus' directory to its users")?;
        let policy = repository().join("daemon/data/dbus/org.firefly.Forage1.conf");
        let config = CONFIG
            .replace("DIRECTORY", &dir.display().to_string())
            .replace("POLICY", &policy.display().to_string());
        for (file, text) in [
            ("bus.conf", config),
            ("passwd", passwd()),
            ("group", groups()),
        ] {
            fs::write(dir.join(file), text).with_context(|| format!("cannot write {file}"))?;
        }
        let mut daemon = Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c", START, "sh"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start dbus-daemon")?;
        let input = daemon.stdin.take();
        let stdout = daemon.stdout.take().context("dbus-daemon has no output")?;
        let mut bus = Self {
            dir,
            address: String::new(),
            daemon,
            input,
        };
        BufReader::new(stdout)
            .read_line(&mut bus.address)
            .context("no word from dbus-daemon")?;
        bus.address.truncate(bus.address.trim_end().len());
        if bus.address.is_empty() {
            let log = fs::read_to_string(bus.dir.join("bus.log")).unwrap_or_default();
            bail!("dbus-daemon did not start: {log}");
        }
        Ok(bus)
    }

    /// Where it listens, in the bus' own notation.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A directory for the test's files; it goes with the bus.
    pub fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// A command that runs as `user` with this bus as its system bus.
    pub fn command(&self, user: &str, argv: &[&str]) -> Command {
        let pid = self.daemon.id().to_string();
        let mut command = Command::new("/usr/bin/nsenter");
        command
            .args(["--mount", "--target", &pid, "--", "setpriv"])
            .args([
                format!("--reuid={user}"),
                format!("--regid={user}"),
                "--init-groups".into(),
            ])
            .args(argv)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/usr/sbin")
            .env("LANG", "C.UTF-8")
            .env("HOME", &self.dir)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.address);
        command
    }

    /// Calls a method through busctl and returns what it printed: the reply, or the error.
    pub fn call(&self, user: &str, call: &[&str]) -> Result<Result<String, String>> {
        let address = format!("--address={}", self.address);
        let mut argv = vec!["busctl", &address, "--timeout=10", "call"];
        argv.extend(call);
        let output = self
            .command(user, &argv)
            .output()
            .context("cannot run busctl")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok(if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        })
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.daemon.wait() {
            eprintln!("cannot wait for dbus-daemon: {error}");
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("cannot remove {}: {error}", self.dir.display());
        }
    }
}

fn passwd() -> String {
    PEOPLE
        .iter()
        .map(|(name, id, _)| format!("{name}:x:{id}:{id}::/:/bin/sh\n"))
        .collect()
}

fn groups() -> String {
    let members = PEOPLE
        .iter()
        .filter(|(_, _, member)| *member)
        .map(|(name, _, _)| *name);
    let members: Vec<&str> = members.collect();
    let own = PEOPLE
        .iter()
        .map(|(name, id, _)| format!("{name}:x:{id}:\n"));
    own.chain([format!("forage:x:{GROUP}:{}\n", members.join(","))])
        .collect()
}
