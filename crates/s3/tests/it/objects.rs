//! What a client of one of the big libraries does.

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode,
    PutOptions, PutPayload, TagSet, UpdateVersion, WriteMultipart,
};

use crate::house::House;

fn path(text: &str) -> Path {
    Path::from(text)
}

async fn read(store: &impl ObjectStore, name: &str) -> Vec<u8> {
    let found = store.get(&path(name)).await.unwrap();
    found.bytes().await.unwrap().to_vec()
}

/// Bytes of which no two pages are alike.
fn many(count: usize) -> Vec<u8> {
    (0..=count / 8)
        .flat_map(|it| (it as u64).to_be_bytes())
        .take(count)
        .collect()
}

#[tokio::test]
async fn objects_are_written_listed_read_copied_and_deleted() {
    let house = House::with_bucket("bucket").await;
    let store = house.store("bucket");
    // Of which some are folders to a file system, and others beside them.
    for name in ["a", "a/b", "a/c/d", "a0", "ä/+ %25"] {
        store
            .put(&path(name), PutPayload::from(name.to_owned()))
            .await
            .unwrap();
    }
    store
        .put(&path("nothing"), PutPayload::new())
        .await
        .unwrap();
    assert_eq!(read(&store, "a").await, b"a");
    assert_eq!(read(&store, "ä/+ %25").await, "ä/+ %25".as_bytes());
    assert_eq!(read(&store, "nothing").await, b"");
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let names: Vec<_> = listed.iter().map(|it| it.location.as_ref()).collect();
    // The client writes letters that are not ASCII as in addresses, and asks for them so.
    let expected: Vec<_> = ["ä/+ %25", "a", "a/b", "a/c/d", "a0", "nothing"]
        .map(path)
        .into();
    assert_eq!(
        names,
        expected.iter().map(AsRef::as_ref).collect::<Vec<_>>()
    );
    let rolled = store.list_with_delimiter(Some(&path("a"))).await.unwrap();
    let names: Vec<_> = rolled
        .objects
        .iter()
        .map(|it| it.location.as_ref())
        .collect();
    assert_eq!(
        (names, rolled.common_prefixes),
        (vec!["a/b"], vec![path("a/c")])
    );
    let after = store.list_with_offset(None, &path("a/c/d"));
    assert_eq!(
        after.map(|it| it.unwrap().location).next().await,
        Some(path("a0"))
    );

    store.copy(&path("a/b"), &path("copy")).await.unwrap();
    store.rename(&path("a0"), &path("moved")).await.unwrap();
    assert_eq!(read(&store, "copy").await, b"a/b");
    assert_eq!(read(&store, "moved").await, b"a0");
    store.delete(&path("a/b")).await.unwrap();
    assert_eq!(read(&store, "copy").await, b"a/b");
    for gone in ["a/b", "a0", "never"] {
        let told = store.get(&path(gone)).await.unwrap_err();
        assert!(matches!(told, Error::NotFound { .. }), "{told}");
    }
    let names = store.list(None).map_ok(|it| it.location).boxed();
    let gone: Vec<_> = store.delete_stream(names).try_collect().await.unwrap();
    assert_eq!(gone.len(), 6);
    assert_eq!(store.list(None).count().await, 0);
    assert_eq!(house.blobs(), 0);
}

#[tokio::test]
async fn what_is_said_of_an_object_comes_back_with_it() {
    let house = House::with_bucket("bucket").await;
    let store = house.store("bucket");
    let said = Attributes::from_iter([
        (Attribute::ContentType, "text/plain"),
        (Attribute::ContentDisposition, "attachment"),
        (Attribute::CacheControl, "no-cache"),
        (Attribute::Metadata("whose".into()), "mine"),
    ]);
    let mut tags = TagSet::default();
    tags.push("team", "a b");
    let options = PutOptions {
        attributes: said.clone(),
        tags,
        ..PutOptions::default()
    };
    let put = store
        .put_opts(&path("a"), "bytes".into(), options)
        .await
        .unwrap();
    store.copy(&path("a"), &path("b")).await.unwrap();
    for name in ["a", "b"] {
        let found = store.get(&path(name)).await.unwrap();
        assert_eq!(found.attributes, said);
        assert_eq!(found.meta.e_tag, put.e_tag);
        let tags = house.asking().get(&format!("/bucket/{name}?tagging")).await;
        assert_eq!(tags.element("Key"), Some("team"));
        assert_eq!(tags.element("Value"), Some("a b"));
    }
}

#[tokio::test]
async fn a_large_object_is_sent_in_parts_and_read_in_ranges() {
    let house = House::with_bucket("bucket").await;
    let store = house.store("bucket");
    let bytes = many((12 << 20) + 5);
    let upload = store.put_multipart(&path("large")).await.unwrap();
    let mut upload = WriteMultipart::new_with_chunk_size(upload, 5 << 20);
    upload.write(&bytes);
    let put = upload.finish().await.unwrap();
    assert!(put.e_tag.unwrap().ends_with("-3\""));
    assert_eq!(house.blobs(), 3);
    assert!(read(&store, "large").await == bytes);
    let total = bytes.len() as u64;
    for range in [
        0..1,
        5..(5 << 20) + 7,
        total - 3..total,
        (5 << 20)..(10 << 20) + 1,
    ] {
        let found = store
            .get_range(&path("large"), range.clone())
            .await
            .unwrap();
        let expected = &bytes[range.start as usize..range.end as usize];
        assert!(found == expected, "{range:?}");
    }
    let last = GetOptions {
        range: Some(GetRange::Suffix(9)),
        ..GetOptions::default()
    };
    let found = store.get_opts(&path("large"), last).await.unwrap();
    assert_eq!(found.range, total - 9..total);
    assert_eq!(found.bytes().await.unwrap(), &bytes[bytes.len() - 9..]);

    let mut given_up = store.put_multipart(&path("never")).await.unwrap();
    given_up.put_part("bytes".into()).await.unwrap();
    assert_eq!(house.blobs(), 4);
    given_up.abort().await.unwrap();
    assert_eq!(house.blobs(), 3);
}

#[tokio::test]
async fn an_object_that_is_being_read_stays_as_it_was() {
    let house = House::with_bucket("bucket").await;
    let store = house.store("bucket");
    let bytes = many(8 << 20);
    store.put(&path("a"), bytes.clone().into()).await.unwrap();
    let begun = store.get(&path("a")).await.unwrap();
    let mut pieces = begun.into_stream();
    let mut found = pieces.next().await.unwrap().unwrap().to_vec();
    store.put(&path("a"), "other".into()).await.unwrap();
    store.delete(&path("a")).await.unwrap();
    while let Some(piece) = pieces.next().await {
        found.extend_from_slice(&piece.unwrap());
    }
    assert!(found == bytes);
    drop(pieces);
    for _ in 0..500 {
        if house.blobs() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the bytes stay when nobody reads them");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_write_where_nothing_may_be_one_wins() {
    let house = House::with_bucket("bucket").await;
    let create = |turn: usize| {
        let store = house.store("bucket");
        let options = PutOptions::from(PutMode::Create);
        async move {
            let text = turn.to_string();
            let put = store
                .put_opts(&path("one"), text.clone().into(), options)
                .await;
            match put {
                Ok(put) => Some((text, put)),
                Err(Error::AlreadyExists { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let all = futures::future::join_all((0..20).map(create)).await;
    let mut won = all.into_iter().flatten();
    let (text, put) = won.next().unwrap();
    assert!(won.next().is_none());
    let store = house.store("bucket");
    assert_eq!(read(&store, "one").await, text.as_bytes());
    assert_eq!(house.blobs(), 1);

    // And of many who change what they have read.
    let version = UpdateVersion {
        e_tag: put.e_tag,
        version: None,
    };
    let update = |turn: usize| {
        let store = house.store("bucket");
        let options = PutOptions::from(PutMode::Update(version.clone()));
        async move {
            let text = format!("update {turn}");
            let put = store.put_opts(&path("one"), text.into(), options).await;
            match put {
                Ok(_) => true,
                Err(Error::Precondition { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let all = futures::future::join_all((0..20).map(update)).await;
    assert_eq!(all.into_iter().filter(|it| *it).count(), 1);
}

#[tokio::test]
async fn a_restart_keeps_all_of_it() {
    let mut house = House::with_bucket("bucket").await;
    let store = house.store("bucket");
    store.put(&path("kept"), "bytes".into()).await.unwrap();
    store.put(&path("gone"), "bytes".into()).await.unwrap();
    store.delete(&path("gone")).await.unwrap();
    let upload = store.put_multipart(&path("later")).await.unwrap();
    let mut upload = WriteMultipart::new_with_chunk_size(upload, 5 << 20);
    upload.write(&many(5 << 20));
    upload.wait_for_capacity(0).await.unwrap();
    let keys = house.keys();
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    house.asking().put("/bucket?tagging", tags).await;
    // What an end in the middle of a write leaves.
    std::fs::write(house.folder().join("blobs/half"), "half").unwrap();
    let before = house.blobs();

    house.restart().await;
    assert_eq!(house.keys(), keys);
    assert_eq!(house.blobs(), before - 1);
    let store = house.store("bucket");
    assert_eq!(read(&store, "kept").await, b"bytes");
    assert!(store.get(&path("gone")).await.is_err());
    let found = house.asking().get("/bucket?tagging").await;
    assert_eq!(found.element("Value"), Some("b"));
    let uploads = house.asking().get("/bucket?uploads").await;
    assert_eq!(uploads.elements("Upload").len(), 1, "{uploads:?}");
}
