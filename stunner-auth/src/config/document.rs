//! A text in JSON or YAML as a tree, and where in the text a part of the tree is.

use std::{cell::Cell, fmt};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{ConfigError, Location, MAX_FILE};
use crate::Secret;

/// So many values are in no configuration: YAML's aliases can make many of few.
const MAX_VALUES: usize = 200_000;

/// More brackets that are not closed are in no configuration, and a YAML parser takes its time for them.
const MAX_DEPTH: usize = 100;

/// A text that was read.
pub(super) struct Document<'t> {
    pub(super) tree: Tree,
    text: &'t str,
    format: Format,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Format {
    Json,
    Yaml,
}

/// A value of JSON or YAML.
pub(super) enum Tree {
    Null,
    /// A text, or anything else that is one value. A number is `1000` in `text` and may be `1e3` as `written`.
    Scalar {
        text: Secret,
        written: Option<Secret>,
    },
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// One step of a path.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl<'t> Document<'t> {
    /// What begins with a brace is JSON if it can be, and YAML otherwise.
    pub(super) fn parse(text: &'t str) -> Result<Self, ConfigError> {
        if text.len() > MAX_FILE {
            let message = format!("expected at most {MAX_FILE} bytes, found {}", text.len());
            return Err(ConfigError { path: String::new(), location: None, message });
        }
        if is_deep(text) {
            let message = format!("expected at most {MAX_DEPTH} levels");
            return Err(ConfigError { path: String::new(), location: None, message });
        }
        let document = |(tree, format)| Self { tree, text, format };
        let budget = Cell::new(MAX_VALUES);
        let json = text.trim_start().starts_with('{').then(|| from_json(text, Grow(&budget)));
        if let Some(Ok(tree)) = json {
            return Ok(document((tree, Format::Json)));
        }
        budget.set(MAX_VALUES);
        match (Grow(&budget).deserialize(yaml_serde::Deserializer::from_str(text)), json) {
            (Ok(mut tree), _) => {
                // What fails here was read before, and stays as it was read.
                let _ = Rewrite(&mut tree).deserialize(yaml_serde::Deserializer::from_str(text));
                Ok(document((tree, Format::Yaml)))
            }
            (Err(_), Some(Err(error))) => Err(syntax("JSON", &error, json_location(&error))),
            (Err(error), _) => Err(syntax("YAML", &error, yaml_location(&error))),
        }
    }

    /// Where a value is.
    pub(super) fn locate(&self, path: &[Step]) -> Option<Location> {
        let seed = Follow(path);
        match self.format {
            Format::Json => json_location(&from_json(self.text, seed).err()?),
            Format::Yaml => {
                yaml_location(&seed.deserialize(yaml_serde::Deserializer::from_str(self.text)).err()?)
            }
        }
    }
}

/// Whether more brackets are open somewhere than there can be; those in texts count, too.
fn is_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    text.bytes().any(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })
}

fn from_json<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> Result<S::Value, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut json)?;
    json.end().map(|()| value)
}

/// What a parser says, without the place that it says too.
fn syntax(format: &str, error: &dyn fmt::Display, location: Option<Location>) -> ConfigError {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    ConfigError { path: String::new(), location, message: format!("expected {format}, but: {text}") }
}

fn json_location(error: &serde_json::Error) -> Option<Location> {
    (error.line() > 0).then(|| Location { line: error.line(), column: error.column() })
}

fn yaml_location(error: &yaml_serde::Error) -> Option<Location> {
    error.location().map(|at| Location { line: at.line(), column: at.column() })
}

/// Makes a tree, of at most so many values.
#[derive(Clone, Copy)]
struct Grow<'b>(&'b Cell<usize>);

impl<'de> DeserializeSeed<'de> for Grow<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.0.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Grow<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        Ok(plain(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Tree, E> {
        Ok(plain(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
        Ok(plain(value))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Tree, E> {
        Ok(plain(value))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Tree, E> {
        Ok(plain(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        Ok(plain(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar { text: text.into(), written: None })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(A::Error::custom(format_args!("the key '{key}' is there twice")));
            }
            members.push((key, map.next_value_seed(self)?));
        }
        Ok(Tree::Map(members))
    }
}

fn plain(value: impl fmt::Display) -> Tree {
    let text = Secret::new(value.to_string());
    Tree::Scalar { written: Some(text.clone()), text }
}

/// Reads a document again, to learn how its numbers were written: YAML tells that only to who asks for text.
struct Rewrite<'t>(&'t mut Tree);

impl<'de> DeserializeSeed<'de> for Rewrite<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Tree::Null | Tree::Scalar { written: None, .. } => {
                IgnoredAny::deserialize(deserializer).map(drop)
            }
            Tree::Scalar { written, .. } => {
                *written = Some(Secret::deserialize(deserializer)?);
                Ok(())
            }
            Tree::List(_) | Tree::Map(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Rewrite<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same document")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let items = if let Tree::List(items) = self.0 { items.as_mut_slice() } else { &mut [] };
        for item in items {
            seq.next_element_seed(Rewrite(item))?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let members = if let Tree::Map(members) = self.0 { members.as_mut_slice() } else { &mut [] };
        for (_, value) in members {
            map.next_key::<IgnoredAny>()?;
            map.next_value_seed(Rewrite(value))?;
        }
        Ok(())
    }
}

/// Follows a path to its end and takes nothing there, so that the error says where that was.
#[derive(Clone, Copy)]
struct Follow<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Follow<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.0.is_empty() {
            deserializer.deserialize_any(Nothing)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Follow<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the way to a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            if matches!(self.0[0], Step::Index(wanted) if wanted == index) {
                seq.next_element_seed(Follow(&self.0[1..]))?;
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if matches!(&self.0[0], Step::Key(wanted) if *wanted == key) {
                map.next_value_seed(Follow(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Takes nothing: every value is an error.
struct Nothing;

impl Visitor<'_> for Nothing {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}
