//! `getIceConfig` and `getStunnerCredentials`: first from the configuration file, and where that throws, without it.

use super::settings::{Chain, Settings};
use super::{Call, Host, Line, Outcome, Stop, Text, Value, cannot_read, convert, member};

/// What a function of the library returns; `None` is `undefined`.
type Returned = Result<Option<Value>, Stop>;

/// A call in progress.
pub(super) struct Library<'a> {
    host: &'a Host<'a>,
    console: Vec<Line>,
}

impl<'a> Library<'a> {
    pub(super) fn new(host: &'a Host<'a>) -> Self {
        Self { host, console: Vec::new() }
    }

    pub(super) fn ended(self, result: Returned) -> Call {
        Call { outcome: Outcome::from(result), console: self.console }
    }

    pub(super) fn ice_config(&mut self, options: Option<&Value>) -> Returned {
        match self.config_file(options).and_then(|config| self.ice_from_config(&config, options)) {
            Err(Stop::Throws(error)) => {
                self.falls_back(&error);
                self.ice_from_environment(options)
            }
            result => result.map(Some),
        }
    }

    pub(super) fn credentials(&mut self, options: Option<&Value>) -> Returned {
        match self.config_file(options).and_then(|config| self.credentials_from_config(&config, options)) {
            Err(Stop::Throws(error)) => {
                self.falls_back(&error);
                self.credentials_from_environment(options)
            }
            result => result.map(Some),
        }
    }

    fn falls_back(&mut self, error: &str) {
        // The Node library writes it like this.
        self.console
            .push(Line::Log(format!("Cloud not read config file, falling back to env-mode: {error}")));
    }

    fn config_file(&self, options: Option<&Value>) -> Result<Value, Stop> {
        let name = Chain::option(options, "config_file").or_variable(self.host, "STUNNER_CONFIG_FILENAME");
        self.host.read_json(&name.or_default("/etc/stunnerd/stunnerd.conf".into()))
    }

    fn credentials_from_config(&self, config: &Value, options: Option<&Value>) -> Result<Value, Stop> {
        let version = member(Some(config), "version")?;
        let good = matches!(version, Some(Value::String(version)) if version == "v1alpha1");
        if !good || config.get("auth").is_none() {
            return Err(Stop::Throws("Error: invalid config file".to_owned()));
        }
        let settings = Settings::from_config(options, config, self.host)?;
        let Some(credentials) = settings.credentials(self.host)? else {
            let kind = convert::text(Some(&settings.auth_type))?.to_utf8();
            return Err(Stop::Throws(format!("Error: invalid authentication type: {kind}")));
        };
        Ok(credentials)
    }

    fn credentials_from_environment(&mut self, options: Option<&Value>) -> Returned {
        let settings = Settings::from_environment(options, self.host);
        let credentials = settings.credentials(self.host)?;
        if credentials.is_none() {
            let kind = convert::text(Some(&settings.auth_type))?.to_utf8();
            let message = "getStunnerCredentialsFallback: invalid authentication type:";
            self.console.push(Line::Error(format!("{message} {kind}")));
        }
        Ok(credentials)
    }

    fn ice_from_config(&self, config: &Value, options: Option<&Value>) -> Result<Value, Stop> {
        let credentials = self.credentials_from_config(config, options)?;
        let mut servers = Vec::new();
        match config.get("listeners") {
            Some(Value::Array(listeners)) => {
                for listener in listeners {
                    servers.push(self.server_of(listener, &credentials, options)?);
                }
            }
            // Each character of a text is a listener without members.
            Some(Value::String(text)) => {
                for _ in char::decode_utf16(text.0.iter().copied()) {
                    servers.push(self.server_of(&Value::Bool(true), &credentials, options)?);
                }
            }
            _ => return Err(Stop::Throws("TypeError: conf.listeners is not iterable".to_owned())),
        }
        Ok(ice_config(servers, self.policy(options)))
    }

    fn server_of(
        &self,
        listener: &Value,
        credentials: &Value,
        options: Option<&Value>,
    ) -> Result<Value, Stop> {
        let listener = Some(listener);
        let address = Chain::option(options, "address")
            .or(|| member(listener, "public_address"))?
            .or_variable(self.host, "STUNNER_PUBLIC_ADDR")
            .or_default("".into());
        let port = Chain::option(options, "port")
            .or(|| member(listener, "public_port"))?
            .or(|| member(listener, "port"))?
            .or_variable(self.host, "STUNNER_PUBLIC_PORT")
            .or_default(Value::Number(3478.0));
        let protocol = Chain::option(options, "protocol")
            .or(|| member(listener, "protocol"))?
            .or_variable(self.host, "STUNNER_PROTOCOL")
            .or_default("UDP".into());
        if !address.is_truthy() {
            // The message that is meant here cannot be made: it asks `undefined` for the file's name.
            return Err(cannot_read("undefined", "config_file"));
        }
        server(&url(&address, &port, &protocol)?, Some(credentials))
    }

    fn ice_from_environment(&mut self, options: Option<&Value>) -> Returned {
        let host = self.host;
        let address = Chain::option(options, "address").or_variable(host, "STUNNER_PUBLIC_ADDR");
        let address = address.or_default("".into());
        let port = Chain::option(options, "port").or_variable(host, "STUNNER_PUBLIC_PORT");
        let port = port.or_default(Value::Number(3478.0));
        if !address.is_truthy() {
            let message = "getIceConfig: invalid STUNner public address, please set STUNNER_PUBLIC_ADDR or specify the address as an argument";
            self.console.push(Line::Error(message.to_owned()));
            return Ok(None);
        }
        let settings = Settings::from_environment(options, host).into_options();
        let credentials = self.credentials(Some(&settings))?;
        let mut servers = Vec::new();
        for (transport, default) in [("udp", true), ("tcp", false)] {
            if self.is_enabled(transport, options, default) {
                let url = url(&address, &port, &transport.into())?;
                servers.push(server(&url, credentials.as_ref())?);
            }
        }
        Ok(Some(ice_config(servers, self.policy(options))))
    }

    /// An option counts by its truth, `"0"` included; a variable is off if it is empty or `0`.
    fn is_enabled(&self, transport: &str, options: Option<&Value>, default: bool) -> bool {
        let option = options.and_then(|options| options.get(&format!("transport_{transport}_enable")));
        let variable = format!("STUNNER_TRANSPORT_{}_ENABLE", transport.to_ascii_uppercase());
        let variable = self.host.environment.switch(&variable);
        option.map_or_else(|| variable.unwrap_or(default), Value::is_truthy)
    }

    fn policy(&self, options: Option<&Value>) -> Value {
        Chain::option(options, "ice_transport_policy")
            .or_variable(self.host, "STUNNER_ICE_TRANSPORT_POLICY")
            .or_default("relay".into())
    }
}

fn url(address: &Value, port: &Value, transport: &Value) -> Result<Text, Stop> {
    let mut url = Text::from("turn:");
    for (value, after) in [(address, ":"), (port, "?transport="), (transport, "")] {
        url.0.extend(convert::text(Some(value))?.0);
        url.0.extend(after.encode_utf16());
    }
    Ok(url)
}

fn server(url: &Text, credentials: Option<&Value>) -> Result<Value, Stop> {
    Ok(Value::object([
        ("url", Some(Value::String(url.clone()))),
        ("username", member(credentials, "username")?.cloned()),
        ("credential", member(credentials, "credential")?.cloned()),
    ]))
}

fn ice_config(servers: Vec<Value>, policy: Value) -> Value {
    Value::object([("iceServers", Some(Value::Array(servers))), ("iceTransportPolicy", Some(policy))])
}
