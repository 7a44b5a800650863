//! Where what belongs to a user rather than to a pipeline lives: `SYNC_HOME`, else a folder among the data that
//! programs keep for that user on this platform.

use std::path::PathBuf;

use sync_core::{Kind, Problem};

/// The folder, which may not exist yet. `variable` looks up the environment; an empty variable is none.
///
/// Sources: the XDG Base Directory Specification (0.8) for Unix, which passes over relative paths; Apple's File System
/// Programming Guide; Microsoft's known folders.
pub fn home(variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, Problem> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = path("SYNC_HOME") {
        return Ok(std::path::absolute(&named).unwrap_or(named));
    }
    let data = if cfg!(windows) {
        path("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        path("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        path("XDG_DATA_HOME")
            .filter(|data| data.is_absolute())
            .or_else(|| path("HOME").map(|home| home.join(".local/share")))
    };
    data.map(|data| data.join("sync")).ok_or_else(|| {
        let message =
            "there is no folder for this user's data: neither SYNC_HOME nor a home directory is set";
        Problem::new(Kind::Environment, "no_home", message)
            .hint("name a folder that outlives the process: export SYNC_HOME=/var/lib/sync")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], expect: Option<&str>) {
        let look_up = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        assert_eq!(home(look_up).ok(), expect.map(PathBuf::from));
    }

    #[test]
    #[cfg(all(unix, not(target_os = "macos")))]
    fn a_folder_that_is_named_comes_first() {
        check(&[("SYNC_HOME", "/srv/sync"), ("HOME", "/u/ada")], Some("/srv/sync"));
        check(&[("HOME", "/u/ada"), ("XDG_DATA_HOME", "/data")], Some("/data/sync"));
        check(&[("HOME", "/u/ada"), ("XDG_DATA_HOME", "data")], Some("/u/ada/.local/share/sync"));
        check(&[("HOME", "/u/ada"), ("SYNC_HOME", "")], Some("/u/ada/.local/share/sync"));
        check(&[], None);
    }
}
