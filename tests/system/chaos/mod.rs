//! Chaos tests: replicas of the real program on one Redis, simulated users, and faults. At every checkpoint the
//! exported values must equal the state in Redis, and must agree with the responses that clients got.
//!
//! | file | contents |
//! |---|---|
//! | `run` | the run: actors, duration, report |
//! | `faults` | injected faults |
//! | `people`, `operator` | requests to the service |
//! | `model`, `rules` | what must hold, given the responses that clients got |
//! | `enumeration` | all sessions, read from Redis independently of the service |
//! | `checkpoint` | comparison of the three |
//! | `killed` | ten thousand sessions and `kill -9` |
//! | `topologies` | a Cluster that loses a node, Sentinels that change the master |

mod checkpoint;
mod enumeration;
mod faults;
mod killed;
mod model;
mod model_tests;
mod operator;
mod people;
mod replicas;
mod rules;
mod run;
mod topologies;
mod world;
