//! What does not open the door: each by its named error, on each transport, and counted.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use throughline::auth::{Jwt, JwtConfig, Key};
use throughline_wire::Codec;

use super::{
    SECRET, algorithms::rsa, changed, claims, enter, hello_by, message, plan, seconds, signed, token,
    token_with, tokens,
};
use crate::kit::{
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, frames, hello},
    ways::Way,
    websocket::Socket,
};

/// Whatever could be tried, and nothing of it is a good token; `None` is no token at all.
fn attempts() -> Vec<(&'static str, Option<String>)> {
    let good = claims("ann");
    let key = EncodingKey::from_secret(SECRET);
    let other = EncodingKey::from_secret(b"another secret, which is long enough too");
    let by = |header: Value| signed(&header, &good, &key, Algorithm::HS256);
    let mut tampered = token("ann");
    tampered.replace_range(tampered.rfind('.').unwrap().., &token("bob")[token("bob").rfind('.').unwrap()..]);
    let header = json!({"alg": "HS256", "kid": "a"});
    let unsigned = |alg: &str| format!("{}.", message(&json!({"alg": alg, "kid": "a"}), &good));
    let confused = |kid: Value| {
        let mut header = json!({"alg": "HS256"});
        header["kid"] = kid;
        let as_secret = EncodingKey::from_secret(rsa().public_pem.as_bytes());
        signed(&header, &good, &as_secret, Algorithm::HS256)
    };
    vec![
        ("no token", None),
        ("an empty one", Some(String::new())),
        ("no JSON web token", Some("ann".into())),
        ("forged", Some(signed(&header, &good, &other, Algorithm::HS256))),
        ("the signature of another's", Some(tampered)),
        ("without a signature", Some(unsigned("HS256"))),
        ("alg: none", Some(unsigned("none"))),
        ("alg: None", Some(unsigned("None"))),
        ("alg: none, signed", Some(by(json!({"alg": "none", "kid": "a"})))),
        ("expired", Some(token_with("ann", json!({"exp": seconds() - 1.0})))),
        ("without an end", Some(token_with("ann", json!({"exp": null})))),
        ("an end that is no time", Some(token_with("ann", json!({"exp": "tomorrow"})))),
        ("not yet valid", Some(token_with("ann", json!({"nbf": seconds() + 60.0})))),
        ("a beginning that is no time", Some(token_with("ann", json!({"nbf": [0]})))),
        ("for somebody else", Some(token_with("ann", json!({"aud": "elsewhere"})))),
        ("for several others", Some(token_with("ann", json!({"aud": ["elsewhere", "throughline.example"]})))),
        ("for nobody", Some(token_with("ann", json!({"aud": null})))),
        ("of another issuer", Some(token_with("ann", json!({"iss": "somebody"})))),
        ("of no issuer", Some(token_with("ann", json!({"iss": null})))),
        ("of no user", Some(token_with("ann", json!({"sub": null})))),
        ("of a user with an empty name", Some(token_with("", json!({})))),
        ("of a user with too long a name", Some(token_with(&"a".repeat(257), json!({})))),
        ("of a user that is a number", Some(token_with("ann", json!({"sub": 7})))),
        ("of a key that is not known", Some(by(json!({"alg": "HS256", "kid": "b"})))),
        ("of a key that is known, by another algorithm", {
            let header = json!({"alg": "HS512", "kid": "a"});
            Some(signed(&header, &good, &key, Algorithm::HS512))
        }),
        ("a public key as a secret", Some(confused(json!("rsa")))),
        ("a public key as a secret, unnamed", Some(confused(Value::Null))),
        ("with what has to be understood", {
            Some(by(json!({"alg": "HS256", "kid": "a", "crit": ["b64"], "b64": false})))
        }),
        ("for a channel alone", Some(token_with("ann", json!({"channel": "news"})))),
        ("with grants that are none", Some(token_with("ann", json!({"channels": ["room:7"]})))),
        (
            "with a grant of what there is not",
            Some(token_with("ann", json!({"channels": {"room:7": ["own"]}}))),
        ),
        ("with more grants than may be", {
            let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("room:{n}"), json!([]))).collect();
            Some(tokens().mint(&changed("ann", json!({"channels": many}))).unwrap())
        }),
    ]
}

/// A gateway that knows tokens of a secret and of an RSA key.
async fn gateway() -> Running {
    let build = |builder: throughline::Builder| {
        let keys = vec![
            Key::new(Some("a"), "HS256".parse().unwrap(), SECRET).unwrap(),
            Key::new(Some("rsa"), "RS256".parse().unwrap(), rsa().public_pem.as_bytes()).unwrap(),
        ];
        let config = JwtConfig {
            audience: vec!["throughline".into()],
            issuer: Some("the tests".into()),
            leeway: std::time::Duration::ZERO,
            ..JwtConfig::default()
        };
        builder.authenticate(Jwt::new(keys, config, || (seconds() * 1_000.0) as u64).unwrap())
    };
    Running::with(Plan { build, webtransport: true, ..plan() }).await
}

#[tokio::test]
async fn whatever_is_no_good_token_is_refused_by_name_on_each_transport_and_counted() {
    let gateway = gateway().await;
    let mut count = 0;
    for (attempt, token) in attempts() {
        let hello = token.as_deref().map_or_else(hello, hello_by);
        for way in Way::ALL {
            let heard = way.say(gateway.doors(), std::slice::from_ref(&hello), |_| false).await;
            assert_eq!(heard.codes(), ["unauthorized"], "{way:?} {attempt}");
            assert_eq!(heard.retry(), Some("unauthorized"), "{way:?} {attempt}");
            assert_eq!(heard.first("retry").unwrap()["final"], true, "{way:?} {attempt}");
            count += 1;
            assert_eq!(gateway.refusals("unauthorized"), count, "{way:?} {attempt}");
        }
    }
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[hello()]).await;
    assert!(!socket.hear(|_| false).await);
    assert_eq!(socket.close, Some(4200));
    assert_eq!(gateway.handle.sessions(None, 10).sessions.len(), 0, "nobody has come in");
    enter(&gateway, &token("ann")).await;
}

#[tokio::test]
async fn an_oversized_token_is_refused_unread_by_frame_and_by_address() {
    let gateway = gateway().await;
    let oversized = token_with("ann", json!({"more": "x".repeat(9_000)}));
    let answer = Ask::frames("/v1/poll", frames(&[hello_by(&oversized)])).to(gateway.clients).await;
    assert_eq!(Heard::read(&answer.body).codes(), ["message_too_large"]);
    assert_eq!(gateway.refusals("message_too_large"), 1);
    let by_address = |token: &str| Ask::get(&format!("/v1/events?channel=news&ticket={token}"));
    assert_eq!(by_address(&oversized).to(gateway.clients).await.status, 204, "and not to come back");
    assert_eq!(gateway.refusals("ticket_invalid"), 1);
}

#[tokio::test]
async fn a_good_token_enters_by_name_and_without_one_and_is_heard_by_its_name() {
    let gateway = gateway().await;
    let key = EncodingKey::from_secret(SECRET);
    for header in [json!({"alg": "HS256", "kid": "a"}), json!({"alg": "HS256"})] {
        for aud in [json!("throughline"), json!(["elsewhere", "throughline"])] {
            let token = signed(&header, &changed("ann", json!({"aud": aud})), &key, Algorithm::HS256);
            let answer = Ask::frames("/v1/poll", frames(&[hello_by(&token)])).to(gateway.clients).await;
            let heard = Heard::read(&answer.body);
            assert_eq!(heard.first("welcome").unwrap()["user"], "ann", "{header} {aud}");
        }
    }
}

#[tokio::test]
async fn a_session_is_not_had_by_another_users_token() {
    let gateway = Running::with(Plan { webtransport: true, ..plan() }).await;
    let mut anns = enter(&gateway, &token("ann")).await;
    let mut resume = anns.resume();
    resume["auth"] = json!(token("bob"));
    for (count, way) in (1..).zip(Way::ALL) {
        let heard = way.say(gateway.doors(), std::slice::from_ref(&resume), |_| false).await;
        assert_eq!(heard.retry(), Some("positions"), "{way:?} {heard:?}");
        assert_eq!(gateway.refusals("user_mismatch"), count, "{way:?}");
    }
    resume["resume"]["positions"] = json!({});
    let answer = Ask::frames("/v1/poll", frames(std::slice::from_ref(&resume))).to(gateway.clients).await;
    let welcome = Heard::read(&answer.body).first("welcome").cloned().unwrap();
    assert_eq!((&welcome["reason"], &welcome["resumed"]), (&json!("user_mismatch"), &json!(false)));
    assert_ne!(welcome["session"], json!(anns.id), "bob has one of his own");
    assert_eq!(gateway.refusals("user_mismatch"), 5);
    resume["auth"] = json!(token("ann"));
    resume["client"] = json!({"name": "test", "version": "1"}); // whoever says its name is told everything
    let answer = Ask::frames("/v1/poll", frames(&[resume])).to(gateway.clients).await;
    assert_eq!(
        Heard::read(&answer.body).first("welcome").unwrap()["session"],
        json!(anns.id),
        "ann has hers"
    );
}

#[tokio::test]
async fn without_a_token_one_may_be_nobody_where_that_is_configured_and_a_wrong_one_is_refused_still() {
    let build = |builder: throughline::Builder| {
        let key = Key::new(None, "HS256".parse().unwrap(), SECRET).unwrap();
        let config = JwtConfig { anonymous: true, ..JwtConfig::default() };
        builder.authenticate(Jwt::new(vec![key], config, || (seconds() * 1_000.0) as u64).unwrap())
    };
    let gateway = Running::with(Plan { build, ..Plan::default() }).await;
    for (hello, user) in [(hello(), None), (hello_by(&token("ann")), Some("unauthorized"))] {
        let answer = Ask::frames("/v1/poll", frames(&[hello])).to(gateway.clients).await;
        assert_eq!(Heard::read(&answer.body).retry(), user, "a token for somebody else is a wrong one");
    }
}
