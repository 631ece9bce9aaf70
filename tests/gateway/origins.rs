//! Which pages may connect behind proxies and beside them, whose address counts, and what pages may read.

use throughline::{
    gateway::{Authenticate, Credentials, Denied, GatewayConfig, Identity},
    http::{ForwardedHeader, OriginPolicy, TrustedProxies},
};

use crate::kit::{
    http::{Answer, Ask},
    running::{Plan, Running},
    speech::{Heard, frames, hello},
};

/// Calls each client by the address that it is taken to come from.
pub(crate) struct ByAddress;

impl Authenticate for ByAddress {
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> throughline::broker::Pending<'a, Result<Identity, Denied>> {
        let headers = &credentials.headers;
        let told = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"].iter();
        let told = told.filter(|name| headers.contains_key(**name)).count();
        let user = credentials.remote.map(|remote| format!("{} {told}", remote.ip()).into());
        Box::pin(std::future::ready(Ok(Identity { user, ..Identity::default() })))
    }
}

fn plan(origins: OriginPolicy, proxies: &[&str], header: ForwardedHeader) -> Plan {
    let plan = Plan::default();
    let proxies = TrustedProxies::new(proxies, header).expect("networks");
    let gateway = GatewayConfig { origins, proxies, ..plan.gateway };
    Plan { gateway, build: |builder| builder.authenticate(ByAddress), ..plan }
}

async fn behind(proxies: &[&str], header: ForwardedHeader) -> Running {
    Running::with(plan(OriginPolicy { is_loopback: true, ..OriginPolicy::default() }, proxies, header)).await
}

fn poll() -> Ask {
    Ask::frames("/v1/poll", frames(&[hello()]))
}

fn user(answer: &Answer) -> String {
    let heard = Heard::read(&answer.body);
    heard.first("welcome").unwrap_or_else(|| panic!("{answer:?}"))["user"].as_str().expect("a user").into()
}

#[tokio::test]
async fn behind_a_trusted_proxy_a_client_is_known_by_its_own_address() {
    let by_list = behind(&["127.0.0.0/8"], ForwardedHeader::XForwardedFor).await;
    let spoofed = poll().header("x-forwarded-for", "6.6.6.6, 203.0.113.7").header("forwarded", "for=6.6.6.6");
    assert_eq!(user(&spoofed.to(by_list.clients).await), "203.0.113.7 2");
    let unreadable = poll().header("x-forwarded-for", "203.0.113.7, unknown");
    assert_eq!(user(&unreadable.to(by_list.clients).await), "127.0.0.1 1");
    let by_element = behind(&["127.0.0.1"], ForwardedHeader::Forwarded).await;
    let said = poll().header("forwarded", "for=6.6.6.6, for=\"[2001:db8::7]:1\"");
    assert_eq!(user(&said.to(by_element.clients).await), "2001:db8::7 1");
}

#[tokio::test]
async fn whoever_is_no_trusted_proxy_comes_from_where_it_comes_and_its_word_reaches_nobody() {
    for proxies in [&[][..], &["10.0.0.0/8"][..]] {
        let gateway = behind(proxies, ForwardedHeader::XForwardedFor).await;
        let said = poll()
            .header("x-forwarded-for", "10.0.0.1")
            .header("x-forwarded-host", "bank.example")
            .header("forwarded", "for=10.0.0.1")
            .header("x-real-ip", "10.0.0.1");
        assert_eq!(user(&said.to(gateway.clients).await), "127.0.0.1 0");
        let page = poll().header("x-forwarded-host", "bank.example").header("origin", "https://bank.example");
        assert_eq!(page.to(gateway.clients).await.status, 403);
    }
}

#[tokio::test]
async fn a_page_of_the_host_that_the_proxy_was_called_by_may_connect() {
    let gateway = behind(&["127.0.0.1"], ForwardedHeader::XForwardedFor).await;
    let by_proxy = |scheme: &str, origin: &str| {
        poll()
            .header("x-forwarded-host", "rt.example")
            .header("x-forwarded-proto", scheme)
            .header("origin", origin)
    };
    let own = by_proxy("https", "https://rt.example").to(gateway.clients).await;
    assert!(Heard::read(&own.body).first("welcome").is_some(), "{own:?}");
    assert_eq!(own.value("access-control-allow-origin"), None, "it is the page's own origin");
    for stranger in [
        by_proxy("http", "https://rt.example"),
        by_proxy("https", "https://evil.example"),
        by_proxy("https", "http://localhost:3000"), // on the client's own machine
        by_proxy("https", "null"),
        by_proxy("https", "http://evil.example:7080").header("host", "evil.example:7080"),
    ] {
        let answer = stranger.clone().to(gateway.clients).await;
        assert_eq!(answer.status, 403, "{stranger:?}");
        assert!(!answer.head.contains("access-control"), "{answer:?}");
    }
    assert_eq!(gateway.refusals("origin_refused"), 5);
}

#[tokio::test]
async fn the_refusal_names_both_values_and_the_setting_to_change() {
    let origins = OriginPolicy { public_url: Some("https://rt.example".into()), ..OriginPolicy::default() };
    let gateway = Running::with(plan(origins, &[], ForwardedHeader::default())).await;
    assert_eq!(poll().header("origin", "https://rt.example").to(gateway.clients).await.status, 200);
    let refused = poll().header("origin", "https://app.example").to(gateway.clients).await;
    let message = Heard::read(&refused.body).first("error").expect("an error")["message"].to_string();
    for part in ["https://app.example", "https://rt.example", "public_url", "origins"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// Every address that a page may call, with the methods that it has.
const ADDRESSES: [(&str, &str); 7] = [
    ("/v1/poll", "post"),
    ("/v1/send", "post"),
    ("/v1/events", "get, post"),
    ("/v1/tickets", "post"),
    ("/v1/websocket", "get"),
    ("/v1/negotiate", "get"),
    ("/healthz", "get"),
];

fn with_cookies(credentials: bool) -> OriginPolicy {
    OriginPolicy {
        allowed: vec!["https://app.example".into()],
        is_loopback: true,
        credentials,
        ..OriginPolicy::default()
    }
}

#[tokio::test]
async fn a_page_that_may_connect_is_told_what_it_may_send_and_others_are_not() {
    let gateway = Running::with(plan(with_cookies(false), &[], ForwardedHeader::default())).await;
    let ask = |path, origin| {
        Ask::new("OPTIONS", path).header("origin", origin).header("access-control-request-method", "POST")
    };
    for (path, methods) in ADDRESSES {
        let answer = ask(path, "https://app.example").to(gateway.clients).await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.value("access-control-allow-origin"), Some("https://app.example"), "{path}");
        assert_eq!(answer.value("access-control-allow-methods"), Some(methods), "{path}");
        let headers = answer.value("access-control-allow-headers");
        assert_eq!(headers, Some("authorization, content-type, last-event-id"), "{path}");
        assert_eq!(answer.value("access-control-max-age"), Some("600"), "{path}");
        assert_eq!(answer.value("vary"), Some("origin"), "{path}");
        assert_eq!(answer.value("access-control-allow-private-network"), None, "{path}");
        for stranger in ["https://evil.example", "http://app.example", "null"] {
            let answer = ask(path, stranger).to(gateway.clients).await;
            assert_eq!(answer.status, 403, "{path} {stranger}");
            assert!(!answer.head.contains("access-control"), "{path} {stranger}");
        }
    }
    let private =
        ask("/v1/poll", "https://app.example").header("access-control-request-private-network", "true");
    let answer = private.to(gateway.clients).await;
    assert_eq!(answer.value("access-control-allow-private-network"), Some("true"));
}

#[tokio::test]
async fn a_page_that_may_connect_reads_every_answer_and_others_none() {
    for credentials in [false, true] {
        let gateway = Running::with(plan(with_cookies(credentials), &[], ForwardedHeader::default())).await;
        let asks = [
            poll(),
            Ask::frames("/v1/poll", "nonsense"),
            Ask::frames("/v1/send", "nonsense"),
            Ask::frames("/v1/tickets", "nonsense"),
            Ask::frames("/v1/events", "nonsense"),
            Ask::get("/v1/events?channel=a%20b"),
            Ask::get("/v1/websocket"),
            Ask::get("/v1/negotiate"),
            Ask::new("PUT", "/v1/negotiate"),
            Ask::new("PUT", "/v1/poll"),
            Ask::get("/healthz"),
            Ask::get("/v1/nothing"),
        ];
        for ask in asks {
            let answer = ask.clone().header("origin", "https://app.example").to(gateway.clients).await;
            assert_eq!(answer.value("access-control-allow-origin"), Some("https://app.example"), "{ask:?}");
            assert_eq!(answer.value("vary"), Some("origin"), "{ask:?} {answer:?}");
            let exposed = answer.value("access-control-expose-headers");
            assert_eq!(exposed, Some("retry-after, throughline-error"), "{ask:?}");
            let with_cookies = answer.value("access-control-allow-credentials");
            assert_eq!(with_cookies, credentials.then_some("true"), "{ask:?}");
            let refused = ask.clone().header("origin", "https://evil.example").to(gateway.clients).await;
            assert_eq!(refused.status, 403, "{ask:?}");
            assert!(!refused.head.contains("access-control"), "{ask:?}");
        }
    }
}
