//! Faults: replicas are killed and restarted; Redis is frozen, or killed and restarted with its file.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, rngs::StdRng};
use skriptoteket_testing::redis::RedisServer;
use tokio::{sync::Mutex, time::sleep};

use crate::chaos::{replicas::Replicas, world::World};

/// The servers on which faults are injected. Locked while a fault is active.
pub(crate) struct Victims {
    pub(crate) replicas: Replicas,
    pub(crate) redis: RedisServer,
}

/// Injects faults, one after the other, until stopped.
pub(crate) async fn go_wrong(world: Arc<World>, victims: Arc<Mutex<Victims>>, mut rng: StdRng) {
    loop {
        sleep(Duration::from_millis(rng.random_range(300..2_500))).await;
        let mut victims = victims.lock().await;
        let name = one_fault(&mut victims, &world, &mut rng).await;
        world.journal().count("faults", name);
    }
}

/// Waits for a random time of at most `longest` ms.
async fn moment(rng: &mut StdRng, longest: u64) {
    sleep(Duration::from_millis(rng.random_range(0..longest))).await;
}

async fn one_fault(victims: &mut Victims, world: &World, rng: &mut StdRng) -> &'static str {
    let Victims { replicas, redis } = victims;
    let (n, other) = (world.any(rng), world.any(rng));
    let tell = |what: &str| {
        world
            .journal()
            .tell(format!("{} fault: {what}", crate::chaos::world::now()));
    };
    let name = match rng.random_range(0..100) {
        0..35 => {
            tell(&format!("replica {n} is killed"));
            replicas.kill(n).await;
            moment(rng, 1_000).await;
            replicas.launch(n);
            "replica killed"
        }
        35..45 => {
            tell(&format!("replica {n} is killed while it starts"));
            replicas.kill(n).await;
            replicas.launch(n);
            moment(rng, 150).await;
            replicas.kill(n).await;
            replicas.launch(n);
            "replica killed while starting"
        }
        45..52 => {
            tell(&format!("replicas {n} and {other} are killed"));
            replicas.kill(n).await;
            replicas.kill(other).await;
            replicas.launch(n);
            if other != n {
                replicas.launch(other);
            }
            "replicas killed"
        }
        52..75 => {
            tell("Redis is frozen");
            redis.freeze();
            let long = if rng.random_bool(0.5) { 300 } else { 3_000 };
            moment(rng, long).await;
            redis.thaw();
            "Redis frozen"
        }
        75..82 => {
            tell(&format!("Redis is frozen, replica {n} is killed"));
            redis.freeze();
            moment(rng, 600).await;
            replicas.kill(n).await;
            moment(rng, 400).await;
            redis.thaw();
            replicas.launch(n);
            "Redis frozen, replica killed"
        }
        82..95 => {
            tell("Redis is killed");
            redis.kill();
            moment(rng, 1_500).await;
            tokio::task::block_in_place(|| redis.restart());
            "Redis killed"
        }
        _ => {
            tell(&format!("Redis and replica {n} are killed"));
            redis.kill();
            replicas.kill(n).await;
            replicas.launch(n);
            moment(rng, 800).await;
            tokio::task::block_in_place(|| redis.restart());
            "Redis and replica killed"
        }
    };
    for n in [n, other] {
        replicas.ready(n).await;
    }
    tell("healed");
    name
}
