//! Where the gateway is.

use http::Uri;

use crate::error::ConfigError;

/// A parsed `http://host[:port][/path]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    /// For a connection: an IPv6 address has no brackets.
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    /// For the `Host` header.
    pub(crate) authority: Box<str>,
    /// The path before `/v1`, without a slash at its end.
    base: Box<str>,
}

impl Address {
    /// Parses an address.
    pub(crate) fn parse(url: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() || uri.host().is_none_or(str::is_empty) {
            return Err(wrong());
        }
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).into(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.as_str().into(),
            base: uri.path().trim_end_matches('/').into(),
        })
    }

    /// The path of an endpoint, which begins with a slash.
    pub(crate) fn path(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_a_port_and_a_base_path() {
        let address = Address::parse("http://localhost:8080/live/").unwrap();
        assert_eq!(
            (&*address.host, address.port, &*address.authority),
            ("localhost", 8080, "localhost:8080")
        );
        assert_eq!(address.path("/v1/poll"), "/live/v1/poll");
        let address = Address::parse("http://[::1]").unwrap();
        assert_eq!(
            (&*address.host, address.port, address.path("/v1/poll")),
            ("::1", 80, "/v1/poll".to_owned())
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["", "localhost", "https://localhost", "http://", "http://a@b", "http://a/?token=x", "/v1"]
        {
            assert_eq!(Address::parse(url), Err(ConfigError::Url(url.to_owned())), "{url}");
        }
    }
}
