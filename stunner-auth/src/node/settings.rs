//! Where the Node library looks for each setting, and in which order.

use super::{Host, Stop, Value, convert, hash, member};

/// The first of several values that is truthy, else the last: a chain of JavaScript's `||`.
pub(super) struct Chain(Option<Value>);

impl Chain {
    /// Begins with `options.name`.
    pub(super) fn option(options: Option<&Value>, name: &str) -> Self {
        Self(options.and_then(|options| options.get(name)).cloned())
    }

    /// `|| value`, which is looked up only if it counts: looking it up can throw.
    pub(super) fn or<'v>(
        self,
        value: impl FnOnce() -> Result<Option<&'v Value>, Stop>,
    ) -> Result<Self, Stop> {
        if self.0.as_ref().is_some_and(Value::is_truthy) { Ok(self) } else { Ok(Self(value()?.cloned())) }
    }

    /// `|| process.env.name`.
    pub(super) fn or_variable(self, host: &Host<'_>, name: &str) -> Self {
        match self.0 {
            Some(value) if value.is_truthy() => Self(Some(value)),
            _ => Self(host.environment.raw(name).map(Value::from)),
        }
    }

    /// `|| default`.
    pub(super) fn or_default(self, default: Value) -> Value {
        self.0.filter(Value::is_truthy).unwrap_or(default)
    }
}

/// What credentials are made of.
pub(super) struct Settings {
    pub(super) auth_type: Value,
    pub(super) realm: Value,
    pub(super) username: Value,
    pub(super) password: Value,
    pub(super) secret: Value,
    pub(super) duration: Value,
    pub(super) algorithm: Value,
    pub(super) encoding: Value,
}

impl Settings {
    /// From options, environment and defaults.
    pub(super) fn from_environment(options: Option<&Value>, host: &Host<'_>) -> Self {
        let setting = |name: &str, variable: &str, default: &str| {
            Chain::option(options, name).or_variable(host, variable).or_default(default.into())
        };
        Self {
            auth_type: setting("auth_type", "STUNNER_AUTH_TYPE", "plaintext"),
            realm: setting("realm", "STUNNER_REALM", "stunner.l7mp.io"),
            username: setting("username", "STUNNER_USERNAME", "user"),
            password: setting("password", "STUNNER_PASSWORD", "pass"),
            secret: setting("secret", "STUNNER_SHARED_SECRET", "my-secret"),
            ..Self::common(options, host)
        }
    }

    /// From options, a configuration file and defaults; the environment knows the duration only.
    pub(super) fn from_config(
        options: Option<&Value>,
        config: &Value,
        host: &Host<'_>,
    ) -> Result<Self, Stop> {
        let auth = config.get("auth");
        let own = |name: &str, key: &str, default: &str| {
            Ok::<_, Stop>(Chain::option(options, name).or(|| member(auth, key))?.or_default(default.into()))
        };
        let credential = |name: &str, default: &str| {
            let found = || member(member(auth, "credentials")?, name);
            Ok::<_, Stop>(Chain::option(options, name).or(found)?.or_default(default.into()))
        };
        Ok(Self {
            auth_type: own("auth_type", "type", "plaintext")?,
            realm: own("realm", "realm", "stunner.l7mp.io")?,
            username: credential("username", "user")?,
            password: credential("password", "pass")?,
            secret: credential("secret", "my-secret")?,
            ..Self::common(options, host)
        })
    }

    /// What comes from the same places in both cases; the rest is `null` here.
    fn common(options: Option<&Value>, host: &Host<'_>) -> Self {
        let duration = Chain::option(options, "duration").or_variable(host, "STUNNER_DURATION");
        Self {
            auth_type: Value::Null,
            realm: Value::Null,
            username: Value::Null,
            password: Value::Null,
            secret: Value::Null,
            duration: duration.or_default(Value::Number(86_400.0)),
            algorithm: Chain::option(options, "algorithm").or_default("sha1".into()),
            encoding: Chain::option(options, "encoding").or_default("base64".into()),
        }
    }

    /// The credentials; `None` for an authentication type that does not exist.
    pub(super) fn credentials(&self, host: &Host<'_>) -> Result<Option<Value>, Stop> {
        let Value::String(kind) = &self.auth_type else {
            return Err(Stop::Throws("TypeError: auth_type.toLowerCase is not a function".to_owned()));
        };
        match kind.to_utf8().to_ascii_lowercase().as_str() {
            "plaintext" => Ok(Some(Value::object([
                ("username", Some(self.username.clone())),
                ("credential", Some(self.password.clone())),
                ("realm", Some(self.realm.clone())),
            ]))),
            "longterm" => {
                #[expect(clippy::cast_precision_loss, reason = "JavaScript counts seconds like this")]
                let expires = host.now as f64 + convert::parse_int(&convert::text(Some(&self.duration))?);
                let (secret, realm) = (Some(&self.secret), Some(&self.realm));
                let (algorithm, encoding) = (Some(&self.algorithm), Some(&self.encoding));
                let expires = Value::Number(expires);
                hash::longterm(Some(&expires), secret, realm, algorithm, encoding).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The options that say the same.
    pub(super) fn into_options(self) -> Value {
        Value::object([
            ("auth_type", Some(self.auth_type)),
            ("realm", Some(self.realm)),
            ("username", Some(self.username)),
            ("password", Some(self.password)),
            ("secret", Some(self.secret)),
            ("duration", Some(self.duration)),
            ("algorithm", Some(self.algorithm)),
            ("encoding", Some(self.encoding)),
        ])
    }
}
