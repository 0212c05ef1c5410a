//! ApiVersions: the highest common version, and brokers that know less.

use std::sync::Arc;
use std::time::Duration;

use isthmus_client::connection::{CallError, ConnectError};
use isthmus_client::{Connection, Connector};
use isthmus_wire::messages::api_versions_response::ApiVersion;
use isthmus_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use isthmus_wire::{ApiKey, ErrorCode};
use tokio::time::Instant;

use crate::net::{FakeNet, Listener};
use crate::peer::{ADDRESS, Peer, config, seconds, versions};

fn dial() -> (
    impl Future<Output = Result<Connection, ConnectError>>,
    Listener,
) {
    let net = FakeNet::default();
    let listener = net.listen(ADDRESS);
    let connecting = async move {
        let connector = Connector::with_dialer(&config(), Arc::new(net));
        connector
            .connect(&ADDRESS.parse().unwrap(), seconds(10))
            .await
    };
    (connecting, listener)
}

/// A broker that answers the first hello in version 0 with error 35, as KIP-511 says.
async fn after_refusal(known: Vec<ApiVersion>) -> (i16, Result<Connection, ConnectError>) {
    let (connecting, mut listener) = dial();
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        let hello = peer.expect(ApiKey::ApiVersions).await;
        assert_eq!(hello.version, ApiKey::ApiVersions.versions().max);
        let refusal = ApiVersionsResponse {
            error_code: ErrorCode::UNSUPPORTED_VERSION,
            api_keys: known,
            ..Default::default()
        };
        peer.send(&hello.answer_as(&refusal, 0)).await;
        let hello = peer.expect(ApiKey::ApiVersions).await;
        peer.answer(&hello, &versions(|_| 3)).await;
        hello.version
    };
    let (connection, version) = tokio::join!(connecting, broker);
    (version, connection)
}

#[tokio::test(start_paused = true)]
async fn the_highest_common_version_is_taken() {
    let (connecting, mut listener) = dial();
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        let hello = peer.expect(ApiKey::ApiVersions).await;
        let request: ApiVersionsRequest = hello.read();
        assert_eq!(request.client_software_name, "isthmus-client");
        let mut known = versions(|key| if key == ApiKey::Fetch { 7 } else { i16::MAX });
        known
            .api_keys
            .retain(|row| row.api_key != i16::from(ApiKey::Produce));
        peer.answer(&hello, &known).await;
        peer
    };
    let (connection, _peer) = tokio::join!(connecting, broker);
    let connection = connection.unwrap();
    assert_eq!(connection.version(ApiKey::Fetch).unwrap(), 7);
    let metadata = ApiKey::Metadata.versions().max;
    assert_eq!(connection.version(ApiKey::Metadata).unwrap(), metadata);
    assert_eq!(connection.version_up_to(ApiKey::Metadata, 9).unwrap(), 9);
    let error = connection.version(ApiKey::Produce).unwrap_err();
    assert!(
        matches!(
            error,
            CallError::UnsupportedByBroker {
                api: ApiKey::Produce
            }
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_broker_says_which_version_it_knows() {
    let known = ApiVersion {
        api_key: 18,
        min_version: 0,
        max_version: 2,
    };
    let (version, connection) = after_refusal(vec![known]).await;
    assert_eq!(version, 2);
    assert_eq!(connection.unwrap().version(ApiKey::Metadata).unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_say_is_asked_in_version_0() {
    let (version, connection) = after_refusal(Vec::new()).await;
    assert_eq!(version, 0);
    connection.unwrap();
    // One that claims to know the version that it just refused is not believed either.
    let max = ApiKey::ApiVersions.versions().max;
    let known = ApiVersion {
        api_key: 18,
        min_version: max,
        max_version: max,
    };
    assert_eq!(after_refusal(vec![known]).await.0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_or_keeps_silent_is_given_up() {
    let (connecting, mut listener) = dial();
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        while let Some(hello) = peer.next().await {
            let error_code = ErrorCode::UNSUPPORTED_VERSION;
            let refusal = ApiVersionsResponse {
                error_code,
                ..Default::default()
            };
            peer.send(&hello.answer_as(&refusal, 0)).await;
        }
    };
    let (refused, ()) = tokio::join!(connecting, broker);
    let refused = refused.unwrap_err().to_string();
    assert_eq!(
        refused,
        "connect to broker:9092: ApiVersions answered UNSUPPORTED_VERSION"
    );

    let (connecting, _listener) = dial();
    let begun = Instant::now();
    let silent = connecting.await.unwrap_err();
    assert!(matches!(
        silent,
        ConnectError::TimedOut { .. } | ConnectError::Negotiate { .. }
    ));
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_stranger_may_not_send_large_answers() {
    let (connecting, mut listener) = dial();
    let broker = async {
        let mut peer = Peer::accept(&mut listener).await;
        peer.expect(ApiKey::ApiVersions).await;
        peer.send(&(257_u32 << 10).to_be_bytes()).await;
        assert!(peer.next().await.is_none());
    };
    let (refused, ()) = tokio::join!(connecting, broker);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("an answer of 263168 bytes"), "{refused}");
}
