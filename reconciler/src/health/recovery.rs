//! What a rollback needs of the system that runs: the unit that settles what a crash left is started at each
//! boot, and the state folder is there then.

use std::path::Path;

use nixus_switcher::protocol::CheckOutcome;

use crate::decide::verdict::{Finding, Lasts};
use crate::host::process::{in_words, sibling};
use crate::host::systemd;
use crate::secrets::memory::{is_ramfs, is_tmpfs};

/// The unit that settles what a crash left of a deployment.
const UNIT: &str = "nixus-recover.service";
/// Settings that can keep a unit's program from being started; an empty one takes back those before it
/// (systemd.unit(5), systemd.service(5)).
const HINDRANCES: [&str; 4] = ["Condition", "Assert", "ExecCondition", "ExecStartPre"];
/// The unit's own conditions: whoever asks for emergency mode at the machine is there (nix/units.nix).
const OWN: [&str; 3] = [
    "ConditionKernelCommandLine=!systemd.unit=emergency.target",
    "ConditionKernelCommandLine=!emergency",
    "ConditionKernelCommandLine=!-b",
];

/// Whether the next boot would settle what a crash had left.
pub async fn unit() -> Finding {
    let both = async {
        let properties = "LoadState,WantedBy,RequiredBy,UpheldBy,ExecStart";
        let shown = systemd::show(UNIT, properties).await?;
        // What is not loaded has no text.
        let text = match shown
            .get("LoadState")
            .is_some_and(|state| state == "loaded")
        {
            true => systemd::settings(UNIT).await?,
            false => String::new(),
        };
        Ok::<_, systemd::SystemdError>((shown, text))
    };
    match (both.await, sibling("nixus-switcher")) {
        (Err(error), _) => Finding::new("recover", CheckOutcome::Unknown, in_words(&error)),
        (_, Err(error)) => {
            let reason = format!("no nixus-switcher is next to this program: {error}");
            Finding::new("recover", CheckOutcome::Fail, reason)
        }
        (Ok((shown, text)), Ok(program)) => {
            let of = |property: &str| shown.get(property).map_or("", String::as_str);
            let wanted = ["WantedBy", "RequiredBy", "UpheldBy"];
            let seen = Seen {
                load: of("LoadState"),
                wanted: wanted.iter().any(|property| !of(property).is_empty()),
                start: of("ExecStart"),
                text: &text,
            };
            match seen.problem(&program) {
                None => Finding::new("recover", CheckOutcome::Pass, "each boot starts it"),
                Some(problem) => Finding {
                    lasts: Lasts::UntilACommit,
                    ..Finding::new("recover", CheckOutcome::Fail, problem)
                },
            }
        }
    }
}

/// What systemd says of the unit.
#[derive(Clone, Copy)]
struct Seen<'a> {
    load: &'a str,
    wanted: bool,
    start: &'a str,
    text: &'a str,
}

impl Seen<'_> {
    /// Why a boot would not settle anything.
    fn problem(&self, program: &Path) -> Option<String> {
        if self.load != "loaded" {
            return Some(format!("systemd does not take {UNIT}: {}", self.load));
        }
        if !self.wanted {
            return Some(format!(
                "{UNIT} is wanted by no target: no boot would settle what a crash left"
            ));
        }
        // `{ path=/nix/store/… ; argv[]=/nix/store/… recover ; … }`, once for each.
        let runs = |path: &str| std::fs::canonicalize(path).is_ok_and(|path| path == program);
        let starts: Vec<&str> = self.start.split("path=").skip(1).collect();
        let own = |start: &&str| {
            let (path, rest) = start.split_once(" ; ").unwrap_or((start, ""));
            let arguments = rest.strip_prefix("argv[]=").unwrap_or_default();
            let arguments = arguments.split(" ; ").next().unwrap_or_default();
            runs(path) && arguments.split(' ').nth(1) == Some("recover")
        };
        if starts.is_empty() || !starts.iter().all(own) {
            let program = program.display();
            return Some(format!("{UNIT} does not start {program} recover"));
        }
        let hindered = |name: &&str| hindrance(self.text, name);
        let line = HINDRANCES.iter().filter_map(hindered).next()?;
        Some(format!("{line} may keep {UNIT} from being started"))
    }
}

/// The last line of a kind that is not taken back.
fn hindrance<'a>(text: &'a str, kind: &&str) -> Option<&'a str> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with(*kind) && !OWN.contains(line))
        .fold(None, |found, line| match line.split_once('=') {
            Some((_, value)) if value.trim().is_empty() => None,
            Some(_) => Some(line),
            None => found,
        })
}

/// Whether what is noted is there after a reboot.
pub fn state(folder: &Path) -> Finding {
    match is_tmpfs(folder) || is_ramfs(folder) {
        false => Finding::new("state", CheckOutcome::Pass, "it outlives a reboot"),
        true => {
            let folder = folder.display();
            let reason =
                format!("{folder} is in memory: a reboot loses what is noted there of deployments");
            Finding {
                lasts: Lasts::UntilACommit,
                ..Finding::new("state", CheckOutcome::Fail, reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_must_start_the_generations_own_recovery() {
        let program = Path::new("/bin/sh").canonicalize().unwrap();
        let path = program.display();
        let start = format!("{{ path={path} ; argv[]={path} recover ; ignore_errors=no ; pid=0 }}");
        let well = Seen {
            load: "loaded",
            wanted: true,
            start: &start,
            text: &format!(
                "[Unit]\n{}\n[Service]\nExecStart=x recover\n",
                OWN.join("\n")
            ),
        };
        let check = |seen: Seen<'_>, words: Option<&str>| {
            let found = seen.problem(&program);
            assert_eq!(found.is_some(), words.is_some(), "{found:?}");
            let found = found.unwrap_or_default();
            assert!(found.contains(words.unwrap_or_default()), "{found}");
        };
        check(well, None);
        let load = "masked";
        check(Seen { load, ..well }, Some("nixus-recover.service: masked"));
        let wanted = false;
        check(Seen { wanted, ..well }, Some("wanted by no target"));
        for start in [
            "".to_owned(),
            start.replace("recover", "goes-down"),
            start.replace("recover", "recover-not"),
            start.replace(&program.display().to_string(), "/bin/true"),
            format!("{start} ; {{ path=/bin/true ; argv[]=/bin/true recover ; }}"),
        ] {
            let start = &start;
            check(Seen { start, ..well }, Some("does not start"));
        }
        for line in [
            "ConditionPathExists=/nowhere",
            "AssertPathExists=/nowhere",
            "ExecCondition=false",
            "ExecStartPre=/bin/false",
        ] {
            let text = format!("{}\n{line}\n", well.text);
            let text = &text;
            check(Seen { text, ..well }, Some(line));
            let name = line.split_once('=').unwrap().0;
            let text = &format!("{text}{name}=\n");
            check(Seen { text, ..well }, None);
        }
    }
}
