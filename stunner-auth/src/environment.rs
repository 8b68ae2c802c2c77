//! Environment variables, given as a map.

use std::{collections::BTreeMap, fs, io, path::Path};

use zeroize::Zeroize;

/// Environment variables: given as a map, so that a test has its own. Some hold secrets, so that no log shows any.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// All variables of this process. Those that are not text are left out.
    #[must_use]
    pub fn from_process() -> Self {
        let text = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        text.collect()
    }

    /// A directory whose files are variables, as Kubernetes mounts a ConfigMap or a Secret: those that are named
    /// `STUNNER_..`, without the newline at their end. They are of one moment, though Kubernetes may be replacing them.
    ///
    /// # Errors
    /// The directory or one of its files cannot be read, or is not text.
    pub fn from_dir(path: &Path) -> io::Result<Self> {
        // Kubernetes writes a new directory, then lets the link `..data` lead there.
        let path = fs::canonicalize(path.join("..data")).unwrap_or_else(|_| path.to_owned());
        let mut variables = Self::default();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with("STUNNER_") && !fs::metadata(entry.path())?.is_dir() {
                let mut value = fs::read_to_string(entry.path())?;
                let line = value.trim_end_matches('\n').trim_end_matches('\r').len();
                value.truncate(line);
                variables.0.insert(name, value);
            }
        }
        Ok(variables)
    }

    /// These variables where they are set, and the others below.
    #[must_use]
    pub fn over(mut self, below: &Self) -> Self {
        for (name, value) in &below.0 {
            self.0.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// The value of a variable; `None` where it is not set, or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// The value of a variable, the empty one included; `None` where it is not set.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A switch: `0` and the empty value are off, and anything else is on, `false` included.
    #[must_use]
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.raw(name).map(|value| !matches!(value, "" | "0"))
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// An empty directory of its own.
    fn directory(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("stunner-auth-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    #[test]
    fn files_are_variables_without_the_newline_at_their_end() {
        let path = directory("files");
        for (name, value) in
            [("STUNNER_REALM", "example.com\r\n"), ("STUNNER_PASSWORD", " a b "), ("HOME", "/")]
        {
            fs::write(path.join(name), value).expect("a file");
        }

        let variables = Environment::from_dir(&path).expect("variables");

        assert_eq!(variables.get("STUNNER_REALM"), Some("example.com"));
        assert_eq!(variables.get("STUNNER_PASSWORD"), Some(" a b "));
        assert_eq!(variables.get("HOME"), None);
        assert!(Environment::from_dir(&path.join("nothing")).is_err());
        fs::remove_dir_all(path).expect("it is there");
    }

    #[test]
    fn what_kubernetes_has_mounted_is_read_where_its_link_leads() {
        let path = directory("mounted");
        for (version, value) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(path.join(version)).expect("a directory");
            fs::write(path.join(version).join("STUNNER_USERNAME"), value).expect("a file");
        }
        symlink("..1", path.join("..data")).expect("a link");
        symlink("..data/STUNNER_USERNAME", path.join("STUNNER_USERNAME")).expect("a link");
        let old = Environment::from_dir(&path).expect("variables");

        symlink("..2", path.join("..data_tmp")).expect("a link");
        fs::rename(path.join("..data_tmp"), path.join("..data")).expect("it is replaced");
        let new = Environment::from_dir(&path).expect("variables");

        assert_eq!([old.get("STUNNER_USERNAME"), new.get("STUNNER_USERNAME")], [Some("old"), Some("new")]);
        assert!(old != new);
        fs::remove_dir_all(path).expect("it is there");
    }

    #[test]
    fn what_is_over_others_hides_them_be_it_empty() {
        let below: Environment = [("A", "below"), ("B", "below"), ("C", "below")].into_iter().collect();
        let over: Environment = [("A", "over"), ("B", "")].into_iter().collect();

        let both = over.over(&below);

        assert_eq!([both.get("A"), both.get("B"), both.get("C")], [Some("over"), None, Some("below")]);
    }
}
