
pub mod lifecycle;
pub mod lower;
pub mod observe;
pub mod rbac;
pub mod spark_submit;
pub mod submission;
