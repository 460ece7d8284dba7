//! Readers that do nothing but read.

use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use forage_tests::testbed::{Outcome, Testbed};

use super::{CREDENTIALS, TOKEN, USER, forget, shell, tokens};
use crate::support::{Sandbox, beside_others};

/// Reads a file again and again until it has a token of `z`, and tells how often, and how many values
/// there were. It gives up where there is no whole token, no file, or two lengths.
const READER: &str = r#"
my ($path, $reads, $values, $last, $length) = ($ARGV[0], 0, 0, '', 0);
$/ = undef;
while (1) {
    open(my $file, '<', $path) or die "no file after $reads reads: $!\n";
    my $now = <$file>;
    close $file;
    $now =~ /sk-ant-oat01-([a-z])\1{94}(?![a-z])/ or die "torn after $reads reads\n";
    my $letter = $1;
    $length ||= length $now;
    $length == length $now or die "of another length after $reads reads\n";
    $reads++;
    $values++ if $now ne $last;
    $last = $now;
    last if $letter eq 'z';
}
print "$reads $values\n";
"#;

const ROTATIONS: u32 = 500;
/// So many of them a reader has to have noticed, on a machine that has others to serve as well.
const NOTICED: u32 = 50;

#[test]
fn readers_see_whole_values_only() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _tokens = tokens();
    shell(testbed, "store a")?;
    let value = Sandbox::up(testbed, USER, "reads-value", "claude", &[])?;
    let form = Sandbox::up(testbed, USER, "reads-form", "live", &[])?;
    let readers = [(&value, TOKEN), (&form, CREDENTIALS)];
    let before = value.generation()?;
    let rotate = format!(
        "letters=abcdefghij; for ((i = 1; i < {ROTATIONS}; i++)); do \
         store ${{letters:i % 10:1}} || exit; done; store z"
    );
    let said = thread::scope(|scope| -> Result<Vec<Outcome>> {
        let reading = readers.map(|(sandbox, file)| {
            scope.spawn(move || sandbox.exec(&["nice", "perl", "-e", READER, file]))
        });
        shell(testbed, &rotate)?;
        let broken = |_| anyhow!("a reader broke off");
        let reading = reading.into_iter();
        reading
            .map(|reader| reader.join().map_err(broken)?)
            .collect()
    })?;
    for read in said {
        ensure!(read.ok(), "{}", read.text());
        let counts = read.stdout.trim_end();
        let (reads, values) = counts.split_once(' ').context("no counts")?;
        let (reads, values): (u32, u32) = (reads.parse()?, values.parse()?);
        ensure!(values > NOTICED && reads > values, "{counts}");
    }
    for sandbox in [&value, &form] {
        let after = sandbox.generation()?;
        ensure!(after == before + u64::from(ROTATIONS), "{before}, {after}");
    }
    forget(testbed)
}
