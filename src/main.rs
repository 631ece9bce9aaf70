//! The `throughline` command.

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().init();
    let config = throughline::gateway::GatewayConfig {
        origins: throughline::http::OriginPolicy { is_loopback: true, ..Default::default() },
        ..Default::default()
    };
    let gateway = throughline::Gateway::builder().config(config).build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:7080").await.unwrap();
    let handle = gateway.handle();
    tokio::spawn(async move {
        for n in 0.. {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            let channel = throughline_wire::ChannelName::parse("news").unwrap();
            let json = throughline_wire::Json::parse(format!("{{\"n\":{n}}}").as_bytes()).unwrap();
            let event = throughline::channel::NewEvent {
                payload: throughline_wire::Payload::Json(json),
                ..Default::default()
            };
            handle.publish(&channel, event).await.unwrap();
        }
    });
    throughline::http::listener::serve(listener, gateway, Default::default(), Default::default()).await;
}
