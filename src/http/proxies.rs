//! Where a request comes from, although a proxy stands in front.
//!
//! A proxy adds to the request whose it is: to `X-Forwarded-For` the address that it saw, or to `Forwarded` (RFC 7239) an
//! element. Anybody can write such a header, so it counts only from a peer that is on the list, and only as far as it
//! was written by those on the list: from the right, up to the first address that is not theirs. What stands left of
//! that is the client's own word.
//!
//! One of the two headers counts, the one that the proxies are said to write. A proxy that writes one of them passes
//! on what the client has put into the other, so to read both would be to believe the client.
//!
//! The PROXY protocol, which says the same before the first byte of a connection, is not spoken.

mod forwarded;

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header, uri::Authority};
use ipnet::IpNet;

use self::forwarded::{Element, elements};

/// Which proxies are believed. Default: none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    header: ForwardedHeader,
}

/// Which header proxies write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, and beside it `X-Forwarded-Host` and `X-Forwarded-Proto`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// Every one.
    pub const ALL: &[Self] = &[Self::XForwardedFor, Self::Forwarded];

    /// The header that is called so, in lower case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|header| header.as_str() == name)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// What is wrong with a list of proxies. The operator's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// No address, and no network.
    #[error("{0:?} is no network, like \"10.0.0.0/8\" or \"fd00::/8\", and no address")]
    Illegal(String),
    /// An address with the length of a prefix that is shorter.
    #[error("{0:?} has bits behind its prefix: {1} is the network, {2} the address")]
    Host(String, String, String),
}

/// What a request says of its way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Way {
    /// The client's address, as far as it is known.
    pub(crate) client: Option<SocketAddr>,
    /// The host that the client called, where a trusted proxy says so.
    pub(crate) host: Option<Told>,
}

/// The host that a proxy was called by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    /// `http` or `https`, where it says so.
    pub(crate) scheme: Option<&'static str>,
    /// The host, with its port if it was named.
    pub(crate) authority: String,
}

impl TrustedProxies {
    /// Believes the proxies in these networks (`10.0.0.0/8`, `fd00::/8`) or at these addresses.
    ///
    /// # Errors
    /// Says which of them is wrong.
    pub fn new(
        networks: impl IntoIterator<Item = impl AsRef<str>>,
        header: ForwardedHeader,
    ) -> Result<Self, NetworkError> {
        let networks =
            networks.into_iter().map(|network| parse(network.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { networks, header })
    }

    /// Reads where a request of this peer comes from. Of one that is not believed nothing is left of what it says about
    /// others, so that nobody behind this takes it for true.
    pub(crate) fn read(&self, peer: Option<SocketAddr>, headers: &mut HeaderMap) -> Way {
        let peer = peer.map(canonical);
        if !peer.is_some_and(|peer| self.trusts(peer.ip())) {
            forget(headers);
            return Way { client: peer, host: None };
        }
        let said = match self.header {
            ForwardedHeader::XForwardedFor => self.by_lists(headers),
            ForwardedHeader::Forwarded => self.by_elements(headers),
        };
        Way { client: said.client.or(peer), host: said.host }
    }

    /// Whether what comes from this address is believed.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The first address from the right that is not a proxy's; the leftmost where all are.
    fn first_client<T>(
        &self,
        entries: impl Iterator<Item = (Option<SocketAddr>, T)>,
    ) -> Option<(SocketAddr, T)> {
        let mut client = None;
        for (address, rest) in entries {
            // One that cannot be read may be a proxy's or not: nothing beyond it can be told apart either.
            let address = address?;
            let is_proxy = self.trusts(address.ip());
            client = Some((address, rest));
            if !is_proxy {
                break;
            }
        }
        client
    }

    fn by_lists(&self, headers: &HeaderMap) -> Way {
        // By bytes: what a client wrote to the left of the proxy's entry may be no text.
        let lists: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let entries = lists.into_iter().rev().flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b','));
        let read = |entry| std::str::from_utf8(entry).ok().and_then(|entry: &str| address(entry.trim()));
        let client = self.first_client(entries.map(|entry| (read(entry), ())));
        let last = |name| texts(headers, name).next().and_then(|list| list.rsplit(',').next());
        let scheme = last(X_FORWARDED_PROTO).and_then(scheme);
        let host = last(X_FORWARDED_HOST).and_then(authority);
        Way {
            client: client.map(|(client, ())| client),
            host: host.map(|authority| Told { scheme, authority }),
        }
    }

    /// Host and scheme are those of the element that names the client: whoever wrote it spoke with the client.
    fn by_elements(&self, headers: &HeaderMap) -> Way {
        // One that cannot be read is an element that names nobody.
        let unreadable = || vec![Element::default()];
        let headers = texts(headers, header::FORWARDED);
        let elements = headers.flat_map(|header| elements(header).unwrap_or_else(unreadable));
        let entries = elements.map(|element| (element.client.as_deref().and_then(address), element));
        let Some((client, element)) = self.first_client(entries) else { return Way::default() };
        let scheme = element.scheme.as_deref().and_then(scheme);
        let host = element.host.as_deref().and_then(authority);
        Way { client: Some(client), host: host.map(|authority| Told { scheme, authority }) }
    }
}

/// Takes everything away that a proxy could have said.
pub(crate) fn forget(headers: &mut HeaderMap) {
    for name in [
        &header::FORWARDED,
        &X_FORWARDED_FOR,
        &X_FORWARDED_HOST,
        &X_FORWARDED_PROTO,
        &X_FORWARDED_PORT,
        &X_REAL_IP,
    ] {
        headers.remove(name);
    }
}

/// The values of a header, the last one first; one that is not text as what no reader understands.
fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let texts: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("\0")).collect();
    texts.into_iter().rev()
}

/// An address with or without a port; an IPv6 address in brackets or without them. The port is 0 where it is not said.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = || text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, 0));
    let bracketed = || {
        let ip = text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
        Some(SocketAddr::new(IpAddr::V6(ip), 0))
    };
    text.parse().ok().or_else(bare).or_else(bracketed).map(canonical)
}

/// An IPv4 address that came as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| scheme.eq_ignore_ascii_case(text.trim()))
}

fn authority(text: &str) -> Option<String> {
    let authority: Authority = text.trim().parse().ok()?;
    (!authority.as_str().contains('@')).then(|| authority.as_str().to_owned())
}

fn parse(text: &str) -> Result<IpNet, NetworkError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| NetworkError::Illegal(text.into()))?;
    if network.trunc() != network {
        let (meant, address) = (network.trunc().to_string(), network.addr().to_string());
        return Err(NetworkError::Host(text.into(), meant, address));
    }
    Ok(network)
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(header: ForwardedHeader) -> TrustedProxies {
        TrustedProxies::new(["10.0.0.0/8", "fd00::/8", "192.0.2.1"], header).unwrap()
    }

    fn way(header: ForwardedHeader, peer: &str, headers: &[(&'static str, &'static str)]) -> Way {
        proxies(header).read(Some(peer.parse().unwrap()), &mut map(headers))
    }

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn client(header: ForwardedHeader, peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let client = way(header, peer, headers).client.unwrap();
        if client.port() == 0 { client.ip().to_string() } else { client.to_string() }
    }

    #[test]
    fn what_is_no_text_to_the_left_of_a_proxys_entry_hides_no_client() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, http::HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append(X_FORWARDED_FOR, http::HeaderValue::from_bytes(b"\xff, 203.0.113.7").unwrap());
        let peer = "10.0.0.1:80".parse().unwrap();
        let way = proxies(ForwardedHeader::XForwardedFor).read(Some(peer), &mut headers);
        assert_eq!(way.client, Some("203.0.113.7:0".parse().unwrap()));
    }

    #[test]
    fn the_rightmost_address_that_is_not_a_proxys_is_the_clients() {
        let by_list =
            |list| client(ForwardedHeader::XForwardedFor, "10.0.0.1:80", &[("x-forwarded-for", list)]);
        assert_eq!(by_list("203.0.113.7"), "203.0.113.7");
        assert_eq!(
            by_list("6.6.6.6, 203.0.113.7"),
            "203.0.113.7",
            "what stands left of it is the client's word"
        );
        assert_eq!(by_list("6.6.6.6,203.0.113.7 , 192.0.2.1, 10.9.9.9"), "203.0.113.7");
        assert_eq!(by_list("10.0.0.2, 10.0.0.3"), "10.0.0.2", "a client among the proxies");
        assert_eq!(by_list("203.0.113.7:4711"), "203.0.113.7:4711");
        assert_eq!(by_list("2001:db8::7"), "2001:db8::7");
        assert_eq!(by_list("[2001:db8::7]"), "2001:db8::7");
        assert_eq!(by_list("[2001:db8::7]:4711"), "[2001:db8::7]:4711");
        assert_eq!(by_list("::ffff:203.0.113.7"), "203.0.113.7");
        let twice = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7, 10.0.0.9")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1:80", &twice), "203.0.113.7");
    }

    #[test]
    fn what_cannot_be_read_leaves_the_peers_own_address() {
        for list in [
            "",
            "unknown",
            "203.0.113.7, unknown",
            "203.0.113.7, ",
            "203.0.113.7,10.0.0.2,_x",
            "1.2.3",
            "::1]",
        ] {
            let client = client(ForwardedHeader::XForwardedFor, "10.0.0.1:80", &[("x-forwarded-for", list)]);
            assert_eq!(client, "10.0.0.1:80", "{list}");
        }
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1:80", &[]), "10.0.0.1:80");
    }

    #[test]
    fn a_stranger_is_not_believed_and_nothing_of_its_word_is_left() {
        let said = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "bank.example"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1;host=bank.example"),
            ("user-agent", "x"),
        ];
        for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
            for (trusted, peer) in
                [(proxies(header), "203.0.113.9:1"), (TrustedProxies::default(), "10.0.0.1:1")]
            {
                let mut headers = map(&said);
                let way = trusted.read(Some(peer.parse().unwrap()), &mut headers);
                assert_eq!(way, Way { client: Some(peer.parse().unwrap()), host: None });
                assert_eq!(headers.len(), 1, "{headers:?}");
            }
            assert_eq!(proxies(header).read(None, &mut map(&said)), Way::default());
        }
    }

    #[test]
    fn one_header_counts_and_the_other_is_the_clients_word() {
        let both = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=6.6.6.6")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1:80", &both), "203.0.113.7");
        assert_eq!(client(ForwardedHeader::Forwarded, "10.0.0.1:80", &both), "6.6.6.6");
    }

    #[test]
    fn an_element_of_forwarded_is_read_with_its_quotes() {
        let by_elements = |said| way(ForwardedHeader::Forwarded, "10.0.0.1:80", &[("forwarded", said)]);
        let told = |scheme, host: &str| Some(Told { scheme, authority: host.into() });
        let one = by_elements(
            r#"For="[2001:db8:cafe::17]:4711";Proto=https;by=203.0.113.43;host="rt.example.com:8443""#,
        );
        assert_eq!(one.client, Some("[2001:db8:cafe::17]:4711".parse().unwrap()));
        assert_eq!(one.host, told(Some("https"), "rt.example.com:8443"));
        let chain = by_elements(
            r#"for=6.6.6.6;host=evil.example, for=203.0.113.7;host=a.example;x="a,b;c=\"d", for=10.0.0.9;host=inner"#,
        );
        assert_eq!(chain.client, Some("203.0.113.7:0".parse().unwrap()));
        assert_eq!(chain.host, told(None, "a.example"), "said by whoever spoke with the client");
        for bad in [
            "for=unknown;host=a.example",
            "for=_hidden",
            "host=a.example",
            "for=\"",
            "=",
            "",
            ";;,,",
            "for=203.0.113.7,",
            "for=203.0.113.7;",
            "for=203.0.113.7;for=6.6.6.6",
            "for=203.0.113.7 x",
            "f r=1, for=203.0.113.7",
        ] {
            let way = by_elements(bad);
            assert_eq!(way, Way { client: Some("10.0.0.1:80".parse().unwrap()), host: None }, "{bad}");
        }
    }

    #[test]
    fn a_quote_that_a_client_leaves_open_does_not_put_its_word_in_the_place_of_the_proxys() {
        let by_proxy = [
            r#"for=203.0.113.7;host="rt.example.com";proto=https"#,
            r#"for="[2001:db8::7]""#,
            "for=203.0.113.7",
        ];
        let by_client = [
            r#"for=6.6.6.6;x=""#,
            r#"for=6.6.6.6;host=evil.example;x="\"#,
            r#"for="6.6.6.6"#,
            r#"for=6.6.6.6;x="a";y=""#,
            r#"for=6.6.6.6;x="a\""#,
        ];
        let told = |headers: &[&str]| {
            let mut map = HeaderMap::new();
            for header in headers {
                map.append(header::FORWARDED, header.parse().unwrap());
            }
            proxies(ForwardedHeader::Forwarded).read(Some("10.0.0.1:80".parse().unwrap()), &mut map)
        };
        let nobody = Way { client: Some("10.0.0.1:80".parse().unwrap()), host: None };
        for (client, proxy) in by_client.into_iter().flat_map(|client| by_proxy.map(|proxy| (client, proxy)))
        {
            assert_eq!(told(&[&format!("{client}, {proxy}")]), nobody, "{client}, {proxy}");
            // In a header of its own the proxy's word stands by itself.
            assert_eq!(told(&[client, proxy]), told(&[proxy]), "{client} and {proxy}");
            assert_ne!(told(&[proxy]), nobody);
        }
    }

    #[test]
    fn no_header_makes_it_panic_and_none_makes_an_address_that_is_not_in_it() {
        let alphabet = [
            ",",
            ";",
            "=",
            "\"",
            "\\",
            " ",
            "for",
            "for=",
            "host",
            "proto",
            "203.0.113.7",
            "10.0.0.2",
            "[::1]",
            ":80",
            "ä",
            "x",
        ];
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let peer: SocketAddr = "10.0.0.1:80".parse().unwrap();
        for _ in 0..20_000 {
            let text: String = (0..next(16)).map(|_| alphabet[next(alphabet.len())]).collect();
            for header in ForwardedHeader::ALL {
                let mut headers = HeaderMap::new();
                headers.insert(header.as_str(), http::HeaderValue::from_bytes(text.as_bytes()).unwrap());
                let client = proxies(*header).read(Some(peer), &mut headers).client.unwrap();
                assert!(client == peer || text.contains(&client.ip().to_string()), "{text} {client}");
            }
        }
    }

    #[test]
    fn the_nearest_proxy_says_which_host_was_called() {
        let by_list = |headers: &[(&'static str, &'static str)]| {
            way(ForwardedHeader::XForwardedFor, "[fd00::1]:80", headers).host
        };
        let host = ("x-forwarded-host", "evil.example, rt.example.com");
        assert_eq!(by_list(&[host]), Some(Told { scheme: None, authority: "rt.example.com".into() }));
        let with_scheme = by_list(&[host, ("x-forwarded-proto", "HTTPS")]);
        assert_eq!(with_scheme, Some(Told { scheme: Some("https"), authority: "rt.example.com".into() }));
        for bad in ["", "a b", "user@rt.example.com", "https://rt.example.com/"] {
            assert_eq!(by_list(&[("x-forwarded-host", bad)]), None, "{bad}");
        }
    }

    #[test]
    fn an_address_that_came_as_ipv6_is_that_of_ipv4() {
        let peer = "[::ffff:10.0.0.1]:80";
        assert_eq!(
            client(ForwardedHeader::XForwardedFor, peer, &[("x-forwarded-for", "203.0.113.7")]),
            "203.0.113.7"
        );
        assert_eq!(client(ForwardedHeader::XForwardedFor, peer, &[]), "10.0.0.1:80");
    }

    #[test]
    fn a_network_that_is_none_is_refused_by_name() {
        let refused = |network: &str| {
            TrustedProxies::new([network], ForwardedHeader::default()).unwrap_err().to_string()
        };
        assert!(refused("proxy.internal").contains("proxy.internal"));
        assert!(refused("10.0.0.0/33").contains("10.0.0.0/33"));
        let host = refused("10.1.2.3/8");
        assert!(host.contains("10.0.0.0/8") && host.contains("10.1.2.3"), "{host}");
    }
}
