//! The endpoint that the embedded cluster serves itself: jobs that write and read through it, and the client of
//! Python.

use std::process::Command;

use serde_json::{Value, json};

use super::{PATIENCE, apply, until_reason};
use crate::clients::installed;
use crate::common::{Answer, Up, until};

/// Writes what the other reads, twice over the same place, in two formats.
const JOB: &str = r#"
import sys
from pyspark.sql import SparkSession

place = "s3a://numbers"
spark = SparkSession.builder.getOrCreate()
if sys.argv[1] == "write":
    rows = spark.range(0, 200000, numPartitions=3)
    rows = rows.selectExpr("id", "id % 7 as part", "repeat(concat('row ', id), 5) as text")
    for turn in range(2):
        rows.write.mode("overwrite").partitionBy("part").parquet(f"{place}/a/parquet")
        rows.write.mode("overwrite").option("header", True).csv(f"{place}/a/csv dir=1")
    print("written", rows.count(), flush=True)
else:
    rows = spark.read.parquet(f"{place}/a/parquet")
    total = rows.selectExpr("sum(id)").first()[0]
    print("parquet", rows.count(), total, rows.where("part = 3").count(), flush=True)
    rows = spark.read.option("header", True).csv(f"{place}/a/csv dir=1")
    print("csv", rows.count(), rows.where("text like 'row 199999%'").count(), flush=True)
    path = spark._jvm.org.apache.hadoop.fs.Path(place)
    files = path.getFileSystem(spark._jsc.hadoopConfiguration())
    old, new = (spark._jvm.org.apache.hadoop.fs.Path(f"{place}/{name}") for name in ("a", "b"))
    print("renamed", files.rename(old, new), spark.read.parquet(f"{place}/b/parquet").count(), flush=True)
    print("deleted", files.delete(new, True), files.exists(new), flush=True)
spark.stop()
"#;

fn start() -> Up {
    Up::with("--storage --s3")
}

/// One job of this Spark, with the jars of Hadoop's file system for S3 in a folder.
fn job(step: &str, spark: &str, jars: &str) -> Value {
    let mount = json!([{"name": "hadoop-aws", "mountPath": "/opt/hadoop-aws", "readOnly": true}]);
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": step},
        "spec": {
            "type": "Python",
            "sparkVersion": spark,
            "image": format!("apache/spark:{spark}"),
            "mainApplicationFile": "local:///etc/job/job.py",
            "arguments": [step],
            "objectStores": ["data"],
            "eventLog": "events",
            "sparkConf": {
                "spark.driver.extraClassPath": "/opt/hadoop-aws/*",
                "spark.executor.extraClassPath": "/opt/hadoop-aws/*",
            },
            "volumes": [{"name": "hadoop-aws", "hostPath": {"path": jars, "type": "Directory"}}],
            "driver": {
                "memory": "1g",
                "configMaps": [{"name": "job", "path": "/etc/job"}],
                "volumeMounts": mount,
            },
            "executor": {"instances": 2, "memory": "1g", "volumeMounts": mount},
        },
    })
}

/// Runs a job to its end, and returns its log.
fn run(up: &Up, step: &str, spark: &str, jars: &str) -> String {
    up.apply(&job(step, spark, jars));
    let ended = up.windlass(&["wait", step, "--timeout", "300"]);
    let log = up.windlass(&["logs", step]);
    assert_eq!(
        ended.code, 0,
        "{}\n{}\n{}",
        ended.stderr, log.stdout, log.stderr
    );
    log.stdout
}

fn jobs_write_and_read_what_is_there(spark: &str, hadoop: &str) {
    let jars = windlass::sparks::cache().join(hadoop);
    assert!(jars.exists(), "make e2e-apps installs {}", jars.display());
    let jars = jars.display().to_string();
    let up = start();
    for (name, bucket) in [("data", "numbers"), ("events", "events")] {
        apply(&up, name, &json!({"name": bucket}));
        until_reason(&up, name, "BucketReady");
    }
    up.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "job"},
        "data": {"job.py": JOB},
    }));
    let log = run(&up, "write", spark, &jars);
    assert!(log.contains("written 200000"), "{log}");
    let log = run(&up, "read", spark, &jars);
    for line in [
        "parquet 200000 19999900000 28571",
        "csv 200000 1",
        "renamed True 200000",
        "deleted True False",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
    let listed = python(&up, "print(sum(1 for _ in client('events').objects.all()))");
    assert!(listed.trim().parse::<u32>().unwrap() >= 2, "{listed}");
    // The keys are in no object but their Secrets, and nobody has written them down.
    let key = python(&up, "print(secret)");
    let seen = up.kubectl_ok(&[
        "get",
        "pods,configmaps,sparkapplications,objectstores",
        "-o",
        "yaml",
    ]);
    let said = std::fs::read_to_string(up.data.path().join("stderr.log")).unwrap();
    for text in [seen, said] {
        assert!(!text.contains(key.trim()), "{text}");
    }
}

#[test]
fn jobs_of_spark_3_5_write_and_read_what_is_there() {
    jobs_write_and_read_what_is_there("3.5.9", "hadoop-aws/3.3.4/lib");
}

#[test]
fn jobs_of_spark_4_3_write_and_read_what_is_there() {
    jobs_write_and_read_what_is_there("4.3.0", "hadoop-aws-3.5/3.5.0/lib");
}

/// Runs lines of Python with `client`, a bucket of boto3's, and `secret`.
fn python(up: &Up, lines: &str) -> String {
    let entry = |name: &str| {
        let path = format!("go-template={{{{index .data \"{name}\" | base64decode}}}}");
        up.kubectl_ok(&["get", "secret", "windlass-s3", "-o", &path])
    };
    let begin = "import boto3, os\nsecret = os.environ['AWS_SECRET_ACCESS_KEY']\n\
                 s3 = boto3.client('s3', region_name='us-east-1')\n\
                 client = lambda name: boto3.resource('s3', region_name='us-east-1').Bucket(name)\n";
    let python = installed("moto", "requirements.txt").join("bin/python3");
    let mut python = Command::new(python);
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
    ] {
        python.env(name, entry(name));
    }
    let answer: Answer = python
        .args(["-c", &format!("{begin}{lines}")])
        .output()
        .unwrap()
        .into();
    assert_eq!(answer.code, 0, "{}\n{}", answer.stdout, answer.stderr);
    answer.stdout
}

#[test]
fn the_client_of_python_uploads_lists_shares_and_deletes() {
    let up = start();
    apply(&up, "data", &json!({"name": "python"}));
    until_reason(&up, "data", "BucketReady");
    let said = python(
        &up,
        r#"
import hashlib, io, urllib.request
bytes = os.urandom(20 << 20)
bucket = client("python")
bucket.upload_fileobj(io.BytesIO(bytes), "large", ExtraArgs={"Metadata": {"whose": "mine"}})
found = io.BytesIO()
bucket.download_fileobj("large", found)
assert found.getvalue() == bytes
assert s3.head_object(Bucket="python", Key="large")["Metadata"] == {"whose": "mine"}
s3.copy({"Bucket": "python", "Key": "large"}, "python", "copied")
names = ["folder/a+b c", "folder/%41", "folder/ä", "folder/deep/er", "x&<y>"]
for name in names:
    body = name.encode()
    s3.put_object(Bucket="python", Key=name, Body=body, ChecksumAlgorithm="SHA256", Tagging="a=b")
    assert s3.get_object(Bucket="python", Key=name)["Body"].read() == body
    tags = s3.get_object_tagging(Bucket="python", Key=name)["TagSet"]
    assert tags == [{"Key": "a", "Value": "b"}], tags
pages = s3.get_paginator("list_objects_v2").paginate(Bucket="python", PaginationConfig={"PageSize": 2})
listed = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
assert listed == sorted(names + ["large", "copied"], key=str.encode), listed
page = s3.list_objects_v2(Bucket="python", Prefix="folder/", Delimiter="/")
assert [it["Prefix"] for it in page["CommonPrefixes"]] == ["folder/deep/"], page
url = s3.generate_presigned_url("get_object", Params={"Bucket": "python", "Key": "folder/ä"})
assert urllib.request.urlopen(url).read() == "folder/ä".encode()
try:
    urllib.request.urlopen(url.split("?")[0])
    raise SystemExit("anybody may read")
except urllib.error.HTTPError as refused:
    assert refused.code == 403, refused
from botocore.exceptions import ClientError
def told(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
assert told(s3.put_object, Bucket="python", Key="large", Body=b"", IfNoneMatch="*") == "PreconditionFailed"
assert told(s3.delete_bucket, Bucket="python") == "BucketNotEmpty"
assert told(s3.get_object, Bucket="python", Key="never") == "NoSuchKey"
assert told(s3.head_bucket, Bucket="never") == "404"
assert len(bucket.objects.all().delete()[0]["Deleted"]) == len(names) + 2
assert list(bucket.objects.all()) == []
print("all of it")
"#,
    );
    assert_eq!(said.trim(), "all of it");
    until("nothing to be left of it", PATIENCE, || {
        let blobs = std::fs::read_dir(up.data.path().join("s3/blobs")).unwrap();
        (blobs.count() == 0).then_some(())
    });
}
