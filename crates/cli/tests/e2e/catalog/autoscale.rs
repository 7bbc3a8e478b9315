//! Standalone Spark has as many workers as its applications wait for.

use serde_json::json;

use super::Virtual;
use super::standalone::Demo;
use crate::common::Kubectl;
use crate::real::QUICK_START;

/// Has six tasks at a time until it is told to have one, and says who has done them. What is lost is done
/// again, and counted twice.
const JOB: &str = r#"
import os, sys, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
over = False
while not over:
    over = os.path.exists(sys.argv[1])
    tasks = 1 if os.path.exists("/tmp/narrow") else 6
    seen = spark.sparkContext.accumulator(0)

    def slowly(numbers):
        numbers = list(numbers)
        seen.add(len(numbers))
        time.sleep(2)
        return [(os.environ["POD_NAME"], sum(numbers))]

    found = spark.sparkContext.parallelize(range(10000), tasks).mapPartitions(slowly).collect()
    total = sum(part for _, part in found)
    print("sum", total, "of", seen.value, "on", *sorted({pod for pod, _ in found}), flush=True)
spark.stop()
"#;

/// It takes as many executors as it has tasks, and gives back those without any.
const DYNAMIC: [&str; 3] = [
    "spark.dynamicAllocation.enabled=true",
    "spark.dynamicAllocation.executorIdleTimeout=3s",
    "spark.executor.cores=1",
];

mod embedded {
    #[test]
    fn workers_of_standalone_spark_come_for_a_job_that_waits_and_go_when_it_waits_no_more() {
        if let Some(up) = super::super::embedded() {
            super::workers_follow_demand(&up);
        }
    }
}

mod kubernetes {
    use crate::clusters::Kubernetes;

    #[test]
    fn workers_of_standalone_spark_come_for_a_job_that_waits_and_go_when_it_waits_no_more() {
        super::workers_follow_demand(&Kubernetes::prepare_for_virtual_clusters());
    }
}

fn workers_follow_demand(kubectl: &Kubectl) {
    let demo = Demo::on(kubectl);
    let spark = Virtual {
        kubectl,
        name: "spark",
    };
    spark.apply(
        |app| {
            let roles = app["spec"]["roles"].as_array_mut().unwrap();
            for role in roles.iter_mut().filter(|role| role["id"] == "worker") {
                role["demand"]["periodSeconds"] = json!(2);
            }
        },
        |role| {
            if role["id"] == "jupyter" {
                role["members"] = json!(0);
            }
            if role["id"] == "worker" {
                role.as_object_mut().unwrap().remove("members");
                role["autoscale"] =
                    json!({ "minMembers": 1, "maxMembers": 3, "scaleDownDelaySeconds": 10 });
            }
            role["env"] = json!([{ "name": "SPARK_DAEMON_JAVA_OPTS", "value": QUICK_START }]);
        },
    );
    demo.settled("worker", 1);
    let written = demo.cluster()["spec"].clone();

    let controller = demo.pod("controller", 0);
    let job = demo.submit_this(JOB, &DYNAMIC, &controller);
    demo.settled("worker", 3);
    job.runs_on(&demo.workers(3));

    demo.in_pod(&controller, &["touch", "/tmp/narrow"]);
    demo.settled("worker", 1);
    job.runs_on(&demo.workers(1));
    job.end();
    demo.decommissioned(&[1, 2]);

    assert_eq!(demo.cluster()["spec"], written);
    let conditions = demo.cluster()["status"]["conditions"].clone();
    let mut conditions = conditions.as_array().unwrap().iter();
    let active = conditions.find(|it| it["type"] == "ScalingActive").unwrap();
    assert_eq!(active["reason"], "DemandKnown", "{active}");
    let events = ["get", "events", "-o", "jsonpath={.items[*].message}"];
    let events = demo.kubectl.kubectl_ok(&events);
    assert!(events.contains("worker grows from 1 to "), "{events}");
    assert!(events.contains("worker shrinks from 3 to "), "{events}");
}
