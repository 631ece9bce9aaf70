//! Against a proxy that says what the test says.

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A proxy that hears one request's head and gives one answer.
async fn proxy(
    answer: &'static str,
) -> (ProxyDial, tokio::task::JoinHandle<(Vec<String>, BufReader<TcpStream>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = ProxyDial::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let heard = tokio::spawn(async move {
        let mut client = BufReader::new(listener.accept().await.unwrap().0);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            client.read_line(&mut line).await.unwrap();
            if line.trim_end().is_empty() {
                break;
            }
            head.push(line.trim_end().to_ascii_lowercase());
        }
        client.write_all(answer.as_bytes()).await.unwrap();
        (head, client)
    });
    (dial, heard)
}

fn reason(error: &io::Error) -> &ProxyError {
    error.get_ref().unwrap().downcast_ref().unwrap()
}

#[tokio::test]
async fn a_tunnel_carries_what_both_ends_say_from_the_first_byte() {
    let (dial, heard) = proxy("HTTP/1.1 200 Connection established\r\n\r\nwelcome").await;
    let dial = dial.credentials("me", "secret");
    let mut tunnel = dial.dial("gateway.example", 7080).await.unwrap();
    let (head, mut client) = heard.await.unwrap();
    assert_eq!(head[0], "connect gateway.example:7080 http/1.1");
    assert!(head.contains(&"host: gateway.example:7080".to_owned()), "{head:?}");
    let basic = format!("proxy-authorization: basic {}", BASE64_STANDARD.encode("me:secret"));
    assert!(head.contains(&basic.to_ascii_lowercase()), "{head:?}");

    let mut said = [0; 7];
    tunnel.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"welcome");
    tunnel.write_all(b"hello").await.unwrap();
    tunnel.flush().await.unwrap();
    let mut said = [0; 5];
    client.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"hello");
}

#[tokio::test]
async fn a_host_that_is_an_ipv6_address_is_asked_for_in_brackets() {
    let (dial, heard) = proxy("HTTP/1.1 200 OK\r\n\r\n").await;
    dial.dial("::1", 443).await.unwrap();
    assert_eq!(heard.await.unwrap().0[0], "connect [::1]:443 http/1.1");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_its_status() {
    let (dial, _heard) = proxy("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let error = dial.dial("gateway.example", 80).await.unwrap_err();
    assert_eq!(reason(&error), &ProxyError::Refused { status: 403 });
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);

    let (dial, _heard) = proxy("HTTP/1.1 407 Who is it\r\nproxy-authenticate: Basic\r\n\r\n").await;
    let error = dial.dial("gateway.example", 80).await.unwrap_err();
    assert_eq!(reason(&error), &ProxyError::Credentials);
}

#[tokio::test]
async fn a_proxy_that_is_none_breaks_off() {
    let (dial, _heard) = proxy("220 mail.example ESMTP\r\n").await;
    let error = dial.dial("gateway.example", 80).await.unwrap_err();
    assert!(matches!(reason(&error), ProxyError::Broken(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_says_nothing_is_given_up() {
    let (here, _there) = tokio::io::duplex(1024);
    let dial = ProxyDial::new("http://proxy").unwrap().reached_by(Arc::new(Once::from(here)));
    let error = dial.dial("gateway.example", 80).await.unwrap_err();
    assert_eq!(reason(&error), &ProxyError::Silent);
}

/// A dial that has one connection to give.
struct Once(std::sync::Mutex<Option<tokio::io::DuplexStream>>);

impl From<tokio::io::DuplexStream> for Once {
    fn from(stream: tokio::io::DuplexStream) -> Self {
        Self(std::sync::Mutex::new(Some(stream)))
    }
}

impl Dial for Once {
    fn dial<'a>(&'a self, _: &'a str, _: u16) -> Dialing<'a> {
        let stream = self.0.lock().unwrap().take().unwrap();
        Box::pin(async move { Ok(Box::new(stream) as Box<dyn Connection>) })
    }
}

#[tokio::test]
async fn no_datagram_goes_through_a_proxy() {
    let error =
        ProxyDial::new("http://proxy:3128").unwrap().resolve("gateway.example", 443).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[test]
fn what_is_no_proxy_is_refused_and_credentials_are_not_shown() {
    for url in ["", "proxy:3128", "https://proxy", "socks5://proxy", "http://me@proxy", "http://proxy/path"] {
        assert_eq!(ProxyDial::new(url).unwrap_err(), ConfigError::Proxy(url.to_owned()), "{url}");
    }
    let dial = ProxyDial::new("http://proxy:3128").unwrap().credentials("me", "secret");
    assert!(!format!("{dial:?}").contains(&BASE64_STANDARD.encode("me:secret")));
}
