//! Single calls, and what is refused.

use http::Method;
use windlass_s3::KeyPair;

use crate::asking::Asking;
use crate::house::House;

#[tokio::test]
async fn a_request_without_a_good_signature_is_refused_and_does_nothing() {
    let house = House::with_bucket("bucket").await;
    house.asking().put("/bucket/a", "bytes").await;
    let keys = house.keys();
    let stranger = KeyPair {
        id: "AKIASTRANGERSTRANGER".to_owned(),
        secret: keys.secret.clone(),
    };
    let guessing = KeyPair {
        id: keys.id.clone(),
        secret: "guess".to_owned(),
    };
    for (asking, expected) in [
        (Asking::unsigned(&house.url()), "AccessDenied"),
        (Asking::of(&house.url(), &stranger), "InvalidAccessKeyId"),
        (Asking::of(&house.url(), &guessing), "SignatureDoesNotMatch"),
    ] {
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/bucket"),
            (Method::GET, "/bucket/a"),
            (Method::PUT, "/bucket/a"),
            (Method::DELETE, "/bucket/a"),
            (Method::PUT, "/other"),
            (Method::GET, "/never/there"),
        ] {
            let told = asking.ask(method.clone(), path, &[], "").await;
            assert_eq!(told.code(), (403, expected), "{method} {path}: {told:?}");
            assert!(!told.text.contains(&keys.secret));
        }
    }
    assert_eq!(house.asking().get("/bucket/a").await.text, "bytes");
    assert_eq!(
        house.asking().get("/other").await.code(),
        (404, "NoSuchBucket")
    );
}

#[tokio::test]
async fn a_bucket_is_made_once_tagged_and_deleted_when_it_is_empty() {
    let house = House::with_bucket("bucket").await;
    let asking = house.asking();
    let again = asking.put("/bucket", "").await;
    assert_eq!(again.code(), (409, "BucketAlreadyOwnedByYou"));
    let elsewhere = "<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint>\
                     </CreateBucketConfiguration>";
    assert_eq!(asking.put("/elsewhere", elsewhere).await.status, 200);
    let location = asking.get("/elsewhere?location").await;
    assert!(location.text.contains("eu-central-1"), "{location:?}");
    assert_eq!(
        asking.get("/").await.elements("Name"),
        ["bucket", "elsewhere"]
    );
    let head = asking.ask(Method::HEAD, "/elsewhere", &[], "").await;
    assert_eq!(head.headers["x-amz-bucket-region"], "eu-central-1");

    assert_eq!(
        asking.get("/bucket?tagging").await.code(),
        (404, "NoSuchTagSet")
    );
    let tags = "<Tagging><TagSet><Tag><Key>windlass.dev/name</Key><Value>a &amp; b</Value></Tag>\
                </TagSet></Tagging>";
    assert!(asking.put("/bucket?tagging", tags).await.status < 300);
    let found = asking.get("/bucket?tagging").await;
    assert_eq!(found.element("Key"), Some("windlass.dev/name"));
    assert_eq!(found.element("Value"), Some("a &amp; b"));
    let twice = tags.replace(
        "</TagSet>",
        "<Tag><Key>windlass.dev/name</Key><Value>c</Value></Tag></TagSet>",
    );
    assert_eq!(
        asking.put("/bucket?tagging", &twice).await.code(),
        (400, "InvalidTag")
    );
    assert_eq!(asking.delete("/bucket?tagging").await.status, 204);
    assert_eq!(
        asking.get("/bucket?tagging").await.code(),
        (404, "NoSuchTagSet")
    );

    asking.put("/bucket/a", "bytes").await;
    asking.post("/bucket/b?uploads", "").await;
    assert_eq!(
        asking.delete("/bucket").await.code(),
        (409, "BucketNotEmpty")
    );
    assert_eq!(asking.get("/bucket/a").await.text, "bytes");
    assert_eq!(asking.delete("/bucket/a").await.status, 204);
    assert_eq!(asking.delete("/bucket").await.status, 204);
    for path in ["/bucket", "/bucket?tagging", "/bucket?uploads", "/bucket/a"] {
        assert_eq!(
            asking.get(path).await.code(),
            (404, "NoSuchBucket"),
            "{path}"
        );
    }
    assert_eq!(asking.delete("/bucket").await.code(), (404, "NoSuchBucket"));
    assert_eq!(
        asking.put("/bucket/a", "b").await.code(),
        (404, "NoSuchBucket")
    );
    assert_eq!(house.blobs(), 0);
}

#[tokio::test]
async fn what_is_not_what_it_is_said_to_be_is_not_kept() {
    let house = House::with_bucket("bucket").await;
    let asking = house.asking();
    let said = |name: &'static str, value: &'static str| {
        let asking = house.asking();
        async move {
            let headers = [(name, value)];
            asking
                .ask(Method::PUT, "/bucket/a", &headers, "bytes")
                .await
        }
    };
    for (name, value) in [
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        (
            "x-amz-checksum-sha256",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        ),
    ] {
        let told = said(name, value).await;
        assert_eq!(told.code(), (400, "BadDigest"), "{name}");
    }
    assert_eq!(asking.get("/bucket/a").await.code(), (404, "NoSuchKey"));
    assert_eq!(house.blobs(), 0);
    let good = said("content-md5", "SzpiGLs+OnMD6KFxpg/Pkg==").await;
    assert_eq!(good.status, 200, "{good:?}");
}

#[tokio::test]
async fn reads_and_writes_depend_on_what_is_there() {
    let house = House::with_bucket("bucket").await;
    let asking = house.asking();
    let tag = asking.put("/bucket/a", "bytes").await.headers["etag"].clone();
    let tag = tag.to_str().unwrap();
    let head = |name, value| {
        let asking = house.asking();
        async move {
            let headers = [(name, value)];
            asking
                .ask(Method::GET, "/bucket/a", &headers, "")
                .await
                .status
        }
    };
    let long_ago = "Tue, 29 Apr 2014 18:30:38 GMT";
    for (name, value, expected) in [
        ("if-match", tag, 200),
        ("if-match", "\"other\"", 412),
        ("if-none-match", tag, 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", long_ago, 200),
        ("if-unmodified-since", long_ago, 412),
        ("range", "bytes=1-2", 206),
        ("range", "bytes=9-", 416),
    ] {
        assert_eq!(head(name, value).await, expected, "{name}: {value}");
    }
    let put = |headers: &'static [(&'static str, &'static str)]| {
        let asking = house.asking();
        async move {
            asking
                .ask(Method::PUT, "/bucket/a", headers, "new")
                .await
                .status
        }
    };
    assert_eq!(put(&[("if-none-match", "*")]).await, 412);
    assert_eq!(put(&[("if-match", "\"other\"")]).await, 412);
    assert_eq!(asking.get("/bucket/a").await.text, "bytes");
    let gone = [("if-match", "\"other\"")];
    let told = asking.ask(Method::DELETE, "/bucket/a", &gone, "").await;
    assert_eq!(told.status, 412);
    let copied = [
        ("x-amz-copy-source", "/bucket/a"),
        ("x-amz-copy-source-if-match", "\"other\""),
    ];
    let told = asking.ask(Method::PUT, "/bucket/b", &copied, "").await;
    assert_eq!(told.status, 412);
}

#[tokio::test]
async fn a_copy_has_what_is_said_of_it_or_of_its_source() {
    let house = House::with_bucket("bucket").await;
    let asking = house.asking();
    let said = [("content-type", "text/plain"), ("x-amz-meta-a", "1")];
    asking
        .ask(Method::PUT, "/bucket/a%20%2B", &said, "bytes")
        .await;
    let from = ("x-amz-copy-source", "/bucket/a%20%2B");
    asking.ask(Method::PUT, "/bucket/same", &[from], "").await;
    let other = [
        from,
        ("x-amz-metadata-directive", "REPLACE"),
        ("content-type", "text/csv"),
    ];
    asking.ask(Method::PUT, "/bucket/other", &other, "").await;
    // Onto itself, as whoever changes what is said does.
    asking.ask(Method::PUT, "/bucket/a%20%2B", &other, "").await;
    let head = |name: &str| {
        let path = format!("/bucket/{name}");
        let asking = house.asking();
        async move { asking.ask(Method::GET, &path, &[], "").await }
    };
    let same = head("same").await;
    assert_eq!(same.headers["content-type"], "text/plain");
    assert_eq!(same.headers["x-amz-meta-a"], "1");
    for name in ["other", "a%20%2B"] {
        let changed = head(name).await;
        assert_eq!(changed.headers["content-type"], "text/csv");
        assert!(!changed.headers.contains_key("x-amz-meta-a"));
        assert_eq!(changed.text, "bytes");
    }
    assert_eq!(house.blobs(), 1);
    let nothing = [("x-amz-copy-source", "/bucket/never")];
    let told = asking.ask(Method::PUT, "/bucket/b", &nothing, "").await;
    assert_eq!(told.code(), (404, "NoSuchKey"));
}

#[tokio::test]
async fn lists_have_pages_folders_and_names_that_xml_cannot_say() {
    let house = House::with_bucket("bucket").await;
    let asking = house.asking();
    for name in ["a%0A%2B", "b/1", "b/2", "c", "d/"] {
        asking.put(&format!("/bucket/{name}"), "x").await;
    }
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let path = format!("/bucket?list-type=2&delimiter=%2F&encoding-type=url&max-keys=1{next}");
        let page = asking.get(&path).await;
        assert_eq!(page.element("KeyCount"), Some("1"), "{page:?}");
        let prefixes: Vec<_> = page
            .elements("CommonPrefixes")
            .into_iter()
            .filter_map(|it| it.strip_prefix("<Prefix>")?.strip_suffix("</Prefix>"))
            .collect();
        seen.extend(
            page.elements("Key")
                .into_iter()
                .chain(prefixes)
                .map(str::to_owned),
        );
        match page.element("NextContinuationToken") {
            Some(token) => next = format!("&continuation-token={token}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a%0A%2B", "b/", "c", "d/"]);
    // As it was before, which Java's clients of today still ask.
    let first = asking
        .get("/bucket?delimiter=%2F&max-keys=2&encoding-type=url")
        .await;
    assert_eq!(first.element("IsTruncated"), Some("true"));
    assert_eq!(first.element("NextMarker"), Some("b/"));
    let rest = asking.get("/bucket?delimiter=%2F&marker=b%2F").await;
    assert_eq!(rest.elements("Key"), ["c"]);
    let wrong = asking
        .get("/bucket?list-type=2&continuation-token=%21")
        .await;
    assert_eq!(wrong.code(), (400, "InvalidArgument"));

    let all = "<Delete><Object><Key>c</Key></Object><Object><Key>never</Key></Object></Delete>";
    let deleted = asking.post("/bucket?delete", all).await;
    assert_eq!(deleted.elements("Key"), ["c", "never"]);
    assert_eq!(asking.get("/bucket/c").await.code(), (404, "NoSuchKey"));
}

#[tokio::test]
async fn an_upload_is_its_parts_in_their_order_and_is_completed_once() {
    let house = House::with_bucket("bucket").await;
    let asking = house.asking();
    let begin = |name: &'static str| {
        let asking = house.asking();
        async move {
            let begun = asking.post(&format!("/bucket/{name}?uploads"), "").await;
            begun.element("UploadId").unwrap().to_owned()
        }
    };
    let part = |name: &str, id: &str, number: u32, body: String| {
        let path = format!("/bucket/{name}?partNumber={number}&uploadId={id}");
        let asking = house.asking();
        async move {
            let put = asking.put(&path, &body).await;
            assert_eq!(put.status, 200, "{put:?}");
            put.headers["etag"].to_str().unwrap().to_owned()
        }
    };
    let complete = |name: &str,
                    id: &str,
                    parts: &[(u32, &str)],
                    headers: &'static [(&'static str, &'static str)]| {
        let parts = parts.iter().map(|(number, tag)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
        });
        let body = parts.collect::<String>();
        let body = format!("<CompleteMultipartUpload>{body}</CompleteMultipartUpload>");
        let path = format!("/bucket/{name}?uploadId={id}");
        let asking = house.asking();
        async move { asking.ask(Method::POST, &path, headers, &body).await }
    };
    let large = "x".repeat(5 << 20);
    let id = begin("a").await;
    part("a", &id, 2, "replaced".to_owned()).await;
    let second = part("a", &id, 2, "end".to_owned()).await;
    let first = part("a", &id, 1, large.clone()).await;
    assert_eq!(house.blobs(), 2);
    let listed = asking.get(&format!("/bucket/a?uploadId={id}")).await;
    assert_eq!(listed.elements("PartNumber"), ["1", "2"]);
    let uploads = asking.get("/bucket?uploads&prefix=a").await;
    assert_eq!(uploads.elements("UploadId"), [id.as_str()]);
    assert_eq!(
        asking
            .get("/bucket?uploads&prefix=b")
            .await
            .elements("UploadId")
            .len(),
        0
    );

    let both = [(1, first.as_str()), (2, second.as_str())];
    for (parts, expected) in [
        (vec![both[1], both[0]], "InvalidPartOrder"),
        (vec![(1, "\"other\"")], "InvalidPart"),
        (vec![both[0], (3, "\"other\"")], "InvalidPart"),
        (vec![], "InvalidPart"),
    ] {
        let told = complete("a", &id, &parts, &[]).await;
        assert!(
            told.code() == (400, expected) || parts.is_empty() && told.status == 400,
            "{told:?}"
        );
    }
    let done = complete("a", &id, &both, &[]).await;
    assert_eq!(done.status, 200, "{done:?}");
    // Whoever has not heard it asks again.
    let again = complete("a", &id, &both, &[]).await;
    assert_eq!(again.element("ETag"), done.element("ETag"));
    let found = asking.get("/bucket/a").await;
    assert_eq!(found.text.len(), (5 << 20) + 3);
    assert!(found.text.ends_with("xend"));
    assert_eq!(
        asking
            .get("/bucket?uploads")
            .await
            .elements("UploadId")
            .len(),
        0
    );

    // A part that is too small, and one where nothing may be.
    let id = begin("b").await;
    let one = part("b", &id, 1, "small".to_owned()).await;
    let two = part("b", &id, 2, "end".to_owned()).await;
    let told = complete("b", &id, &[(1, &one), (2, &two)], &[]).await;
    assert_eq!(told.code(), (400, "EntityTooSmall"));
    assert_eq!(
        asking
            .delete(&format!("/bucket/b?uploadId={id}"))
            .await
            .status,
        204
    );
    let told = asking.delete(&format!("/bucket/b?uploadId={id}")).await;
    assert_eq!(told.code(), (404, "NoSuchUpload"));
    let id = begin("a").await;
    let one = part("a", &id, 1, "small".to_owned()).await;
    let told = complete("a", &id, &[(1, &one)], &[("if-none-match", "*")]).await;
    assert_eq!(told.code(), (412, "PreconditionFailed"));
    assert_eq!(complete("a", &id, &[(1, &one)], &[]).await.status, 200);
    assert_eq!(asking.get("/bucket/a").await.text, "small");
    assert_eq!(house.blobs(), 1);
}

#[tokio::test]
async fn a_part_may_be_some_of_another_object() {
    let house = House::with_bucket("bucket").await;
    let asking = house.asking();
    let large = "x".repeat((5 << 20) + 7) + "end";
    asking.put("/bucket/a", &large).await;
    let begun = asking.post("/bucket/b?uploads", "").await;
    let id = begun.element("UploadId").unwrap();
    let mut parts = String::new();
    for (number, range) in [(1, "bytes=7-5242889"), (2, "bytes=5242887-5242889")] {
        let headers = [
            ("x-amz-copy-source", "bucket/a"),
            ("x-amz-copy-source-range", range),
        ];
        let path = format!("/bucket/b?partNumber={number}&uploadId={id}");
        let copied = asking.ask(Method::PUT, &path, &headers, "").await;
        let tag = copied
            .element("ETag")
            .unwrap_or_else(|| panic!("{copied:?}"));
        parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>");
    }
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let done = asking
        .post(&format!("/bucket/b?uploadId={id}"), &body)
        .await;
    assert_eq!(done.status, 200, "{done:?}");
    asking.delete("/bucket/a").await;
    let found = asking.get("/bucket/b").await.text;
    assert_eq!(found.len(), (5 << 20) + 3 + 3);
    assert!(found.ends_with("xendend"));
    assert_eq!(house.blobs(), 1);
    asking.delete("/bucket/b").await;
    assert_eq!(house.blobs(), 0);
}
