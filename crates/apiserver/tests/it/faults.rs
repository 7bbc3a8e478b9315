//! Injected faults do what they say.

use http::StatusCode;
use serde_json::json;
use windlass_apiserver::{
    Verb,
    faults::{Calls, Fault, When},
};

use crate::support::{CONFIG_MAPS, TestServer, config_map};

#[tokio::test]
async fn a_lost_answer_hides_a_write_that_happened() {
    let server = TestServer::start().await;
    let fault = server.api.faults().inject(
        Calls::verb(Verb::Create).on("", "configmaps"),
        When::Nth(1),
        Fault::LoseAnswer(StatusCode::INTERNAL_SERVER_ERROR),
    );
    let (code, _) = server
        .request("POST", CONFIG_MAPS, Some(config_map("a", json!({}))))
        .await;
    assert_eq!((code, fault.hits()), (500, 1));
    assert_eq!(
        server
            .request("GET", &format!("{CONFIG_MAPS}/a"), None)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_refused_call_changes_nothing_and_the_next_one_works() {
    let server = TestServer::start().await;
    server.api.faults().inject(
        Calls::verb(Verb::Create).on("", "configmaps"),
        When::Nth(1),
        Fault::Refuse(StatusCode::CONFLICT),
    );
    let wish = config_map("a", json!({}));
    assert_eq!(
        server
            .request("POST", CONFIG_MAPS, Some(wish.clone()))
            .await
            .0,
        409
    );
    assert_eq!(server.request("POST", CONFIG_MAPS, Some(wish)).await.0, 201);
}

#[tokio::test]
async fn a_duplicated_create_makes_two_of_generated_names() {
    let server = TestServer::start().await;
    server
        .api
        .faults()
        .inject(Calls::verb(Verb::Create), When::Nth(1), Fault::Duplicate);
    let wish = json!({"metadata": {"generateName": "twin-"}});
    server.create(CONFIG_MAPS, wish).await;
    let (_, list) = server.request("GET", CONFIG_MAPS, None).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn reads_can_be_answered_from_the_past() {
    let server = TestServer::start().await;
    let before = server.api.revision();
    server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    let past = server.api.faults().inject(
        Calls::any().on("", "configmaps"),
        When::Always,
        Fault::OldRevision(before),
    );
    let (_, list) = server.request("GET", CONFIG_MAPS, None).await;
    assert_eq!(list["items"], json!([]));
    assert_eq!(list["metadata"]["resourceVersion"], before.to_string());
    assert_eq!(
        server
            .request("GET", &format!("{CONFIG_MAPS}/a"), None)
            .await
            .0,
        404
    );
    past.remove();
    assert_eq!(
        server
            .request("GET", &format!("{CONFIG_MAPS}/a"), None)
            .await
            .0,
        200
    );
}
