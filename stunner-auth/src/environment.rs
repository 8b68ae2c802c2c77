//! Environment variables, given as a map.

use std::collections::BTreeMap;

use zeroize::Zeroize;

/// Environment variables: given as a map, so that a test has its own. Some hold secrets, so that no log shows any.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// All variables of this process. Those that are not text are left out.
    #[must_use]
    pub fn from_process() -> Self {
        let text = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        text.collect()
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
