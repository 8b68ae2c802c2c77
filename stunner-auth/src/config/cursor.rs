//! A walk through a document that knows where it is.

use std::{borrow::Cow, cell::RefCell, fmt::Write};

use super::{
    ConfigError, MAX_FILE, Problem, Warning,
    document::{Document, Step, Tree},
    expand::{expand, expand_secret},
};
use crate::{Environment, Secret};

/// More warnings than these help nobody.
const MAX_WARNINGS: usize = 1000;

/// What null is as a text.
static EMPTY: Secret = Secret::empty();

/// What the walk needs everywhere.
pub(crate) struct Context<'a> {
    document: &'a Document<'a>,
    environment: &'a Environment,
    warnings: RefCell<Vec<Warning>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(document: &'a Document<'a>, environment: &'a Environment) -> Self {
        Self { document, environment, warnings: RefCell::default() }
    }

    pub(super) fn into_warnings(self) -> Vec<Warning> {
        self.warnings.into_inner()
    }
}

/// A value, and where it is. A value that is not there is null.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    context: &'a Context<'a>,
    tree: &'a Tree,
    path: Vec<Step>,
}

/// A map whose keys are asked for one by one, in any case of letters.
pub(crate) struct Fields<'a> {
    cursor: Cursor<'a>,
    asked: RefCell<Vec<String>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn root(context: &'a Context<'a>) -> Self {
        Self { context, tree: &context.document.tree, path: Vec::new() }
    }

    /// The members of a map; null has none.
    pub(crate) fn fields(&self) -> Result<Fields<'a>, ConfigError> {
        match self.tree {
            Tree::Map(_) | Tree::Null => Ok(Fields { cursor: self.clone(), asked: RefCell::default() }),
            _ => Err(self.wrong("a map")),
        }
    }

    /// The items of a list; null has none.
    pub(crate) fn items(&self) -> Result<Vec<Self>, ConfigError> {
        match self.tree {
            Tree::List(items) => Ok((0..items.len()).map(|index| self.index(index)).collect()),
            Tree::Null => Ok(Vec::new()),
            _ => Err(self.wrong("a list")),
        }
    }

    /// A member, whether it was asked for or not.
    pub(crate) fn at(&self, name: &str) -> Self {
        let members = if let Tree::Map(members) = self.tree { members.as_slice() } else { &[] };
        let found = members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        let (key, tree) = found.map_or((name, &Tree::Null), |(key, tree)| (key.as_str(), tree));
        self.step(Step::Key(key.to_owned()), tree)
    }

    /// An item of a list.
    pub(crate) fn index(&self, index: usize) -> Self {
        let items = if let Tree::List(items) = self.tree { items.as_slice() } else { &[] };
        self.step(Step::Index(index), items.get(index).unwrap_or(&Tree::Null))
    }

    fn step(&self, step: Step, tree: &'a Tree) -> Self {
        let mut path = self.path.clone();
        path.push(step);
        Self { context: self.context, tree, path }
    }

    /// A text with its variables replaced; null is empty.
    pub(crate) fn text(&self) -> Result<String, ConfigError> {
        self.expanded(self.scalar()?)
    }

    fn expanded(&self, text: &Secret) -> Result<String, ConfigError> {
        let mut unset = |name: &str| self.warn(Problem::Unset(name.to_owned()));
        let expanded = expand(text.expose(), self.context.environment, &mut unset);
        expanded.map(Cow::into_owned).ok_or_else(|| self.error(format!("expected at most {MAX_FILE} bytes")))
    }

    /// A secret.
    pub(crate) fn secret(&self) -> Result<Secret, ConfigError> {
        let text = self.scalar()?;
        let mut unset = |name: &str| self.warn(Problem::Unset(name.to_owned()));
        Ok(Secret::new(expand_secret(text.expose(), self.context.environment, &mut unset).into_owned()))
    }

    /// A text as it was written.
    fn scalar(&self) -> Result<&'a Secret, ConfigError> {
        match self.tree {
            Tree::Null => Ok(&EMPTY),
            Tree::Scalar { text, written } => Ok(written.as_ref().unwrap_or(text)),
            Tree::List(_) | Tree::Map(_) => Err(self.wrong("a text")),
        }
    }

    /// A whole number; `None` where it is null or empty.
    pub(crate) fn number(&self, expected: &str) -> Result<Option<i64>, ConfigError> {
        let text = match self.tree {
            Tree::Scalar { text, .. } => self.expanded(text)?,
            Tree::Null => return Ok(None),
            _ => return Err(self.wrong(expected)),
        };
        let text = text.trim();
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| self.wrong(expected)) }
    }

    /// A port; `None` where it is null, empty or zero.
    pub(crate) fn port(&self) -> Result<Option<u16>, ConfigError> {
        let expected = "a port from 1 to 65535";
        let number = self.number(expected)?.unwrap_or(0);
        let port = u16::try_from(number).map_err(|_| self.wrong(expected))?;
        Ok((port != 0).then_some(port))
    }

    /// An error about this value.
    pub(crate) fn wrong(&self, expected: &str) -> ConfigError {
        let found = match self.tree {
            Tree::Null => "nothing".to_owned(),
            Tree::List(_) => "a list".to_owned(),
            Tree::Map(_) => "a map".to_owned(),
            Tree::Scalar { .. } if self.is_secret() => "something else".to_owned(),
            Tree::Scalar { .. } => self.shown(),
        };
        self.error(format!("expected {expected}, found {found}"))
    }

    fn error(&self, message: String) -> ConfigError {
        let location = self.context.document.locate(&self.path);
        ConfigError { path: self.name(), location, message }
    }

    /// Whether this belongs to what no log shows.
    fn is_secret(&self) -> bool {
        let secret = ["auth", "credentials", "key", "license_config"];
        let last = |step: &Step| matches!(step, Step::Key(key) if secret.iter().any(|name| key.eq_ignore_ascii_case(name)));
        self.path.iter().any(|step| matches!(step, Step::Key(key) if key.eq_ignore_ascii_case("credentials")))
            || self.path.last().is_some_and(last)
    }

    /// The text, as it is after its variables were replaced, and how it was written.
    fn shown(&self) -> String {
        let Ok(written) = self.scalar() else { return String::new() };
        let text = expand(written.expose(), self.context.environment, &mut |_| {}).unwrap_or_default();
        let short = |text: &str| text.chars().take(60).collect::<String>();
        if text == written.expose() {
            format!("{:?}", short(&text))
        } else {
            format!("{:?}, of {:?}", short(&text), short(written.expose()))
        }
    }

    pub(crate) fn warn(&self, problem: Problem) {
        let warning = Warning { path: self.name(), problem };
        let mut warnings = self.context.warnings.borrow_mut();
        if warnings.len() < MAX_WARNINGS && warnings.last() != Some(&warning) {
            warnings.push(warning);
        }
    }

    fn name(&self) -> String {
        let mut name = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if name.is_empty() => name.push_str(key),
                Step::Key(key) => write!(name, ".{key}").expect("a text grows"),
                Step::Index(index) => write!(name, "[{index}]").expect("a text grows"),
            }
        }
        name
    }
}

impl<'a> Fields<'a> {
    /// A member; `None` where it is not there, or null.
    pub(crate) fn field(&self, name: &str) -> Option<Cursor<'a>> {
        self.asked.borrow_mut().push(name.to_owned());
        Some(self.cursor.at(name)).filter(|cursor| !matches!(cursor.tree, Tree::Null))
    }

    /// The members of a map that is a member; none where it is not there.
    pub(crate) fn child(&self, name: &str) -> Result<Fields<'a>, ConfigError> {
        self.asked.borrow_mut().push(name.to_owned());
        self.cursor.at(name).fields()
    }

    /// The items of a list that is a member.
    pub(crate) fn items(&self, name: &str) -> Result<Vec<Cursor<'a>>, ConfigError> {
        self.field(name).map_or_else(|| Ok(Vec::new()), |list| list.items())
    }

    /// A text; `None` where it is not there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, ConfigError> {
        self.field(name).map(|cursor| cursor.text()).transpose()
    }

    /// A text that is not empty.
    pub(crate) fn filled(&self, name: &str) -> Result<Option<String>, ConfigError> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// A secret; `None` where it is not there.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<Secret>, ConfigError> {
        self.field(name).map(|cursor| cursor.secret()).transpose()
    }

    /// A port; `None` where it is not there, empty or zero.
    pub(crate) fn port(&self, name: &str) -> Result<Option<u16>, ConfigError> {
        self.field(name).map_or(Ok(None), |cursor| cursor.port())
    }

    /// A member, for an error or a warning about it.
    pub(crate) fn at(&self, name: &str) -> Cursor<'a> {
        self.cursor.at(name)
    }

    /// The error for a member that must be there. It is located where the map is.
    pub(crate) fn missing(&self, name: &str, expected: &str) -> ConfigError {
        let location = self.cursor.context.document.locate(&self.cursor.path);
        let message = format!("expected {expected}, found nothing");
        ConfigError { path: self.at(name).name(), location, message }
    }

    /// Warns that a member has no effect, if it is there.
    pub(crate) fn ignored(&self, name: &str, why: &'static str) {
        if let Some(cursor) = self.field(name) {
            cursor.warn(Problem::Ignored(why));
        }
    }

    /// Warns of members that nobody asked for.
    pub(crate) fn end(&self) {
        let Tree::Map(members) = self.cursor.tree else { return };
        let asked = self.asked.borrow();
        for (key, value) in members {
            if !asked.iter().any(|name| name.eq_ignore_ascii_case(key)) {
                self.cursor.step(Step::Key(key.clone()), value).warn(Problem::UnknownKey);
            }
        }
    }
}
