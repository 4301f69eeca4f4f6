//! The messages that the processes of a cluster exchange, and nothing else: what they mean is said in
//! the `.proto` files, what is done with them in crate `rpc`.

tonic::include_proto!("pando");

pub mod metadata {
    tonic::include_proto!("pando.metadata.v1");
}
pub mod leaf {
    tonic::include_proto!("pando.leaf.v1");
}
pub mod stages {
    pub use v1::*;

    /// Where the generated code looks for messages of other packages.
    pub mod v1 {
        tonic::include_proto!("pando.stages.v1");
    }
}
pub mod node {
    tonic::include_proto!("pando.node.v1");
}
