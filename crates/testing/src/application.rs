//! The application in this process.

use std::{path::Path, sync::Arc, time::Duration};

use skriptoteket::{
    app::Application,
    catalogue::CATALOGUE,
    clock::Clock,
    config::{self, Config, Environment},
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use tokio::{sync::oneshot, task::JoinHandle};

/// Returns a configuration with its data in `dir`, free ports and cheap password hashes. `settings` are names without
/// the prefix, and values.
pub fn config_in(dir: &Path, settings: &[(&str, &str)]) -> Config {
    let mut environment = Environment::default()
        .with("SKRIPTOTEKET_DATA_DIR", dir)
        .with("SKRIPTOTEKET_LISTEN", "127.0.0.1:0")
        .with("SKRIPTOTEKET_MANAGEMENT_LISTEN", "127.0.0.1:0")
        .with("SKRIPTOTEKET_WORKERS", "2");
    for (name, value) in settings {
        let variable = format!("SKRIPTOTEKET_{}", name.to_uppercase());
        environment = environment.with(variable, value);
    }
    let mut config = config::load(None, &environment).unwrap();
    // The cost of hashes and the load of the machine are not under test.
    config.argon2.memory_kib = 8;
    config.argon2.iterations = 1;
    config.store_timeout = Duration::from_secs(30);
    config.connections.head_timeout = Duration::from_mins(10);
    config.connections.body_timeout = Duration::from_mins(10);
    config
}

/// A service in this process that is built as the program builds it. It is stopped when this is dropped.
#[derive(Debug)]
pub struct RunningApplication {
    /// `http://…` of the public listener.
    pub public: String,
    /// `http://…` of the management listener.
    pub management: String,
    /// Its metrics.
    pub metrics: CollectedMetrics,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl RunningApplication {
    /// Starts the service.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> Self {
        let (telemetry, metrics) = Telemetry::in_memory(CATALOGUE);
        let application = Application::build(config, &telemetry, clock).await;
        let application = application.unwrap();
        let public = format!("http://{}", application.address());
        let management = format!("http://{}", application.management_address());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            application.run_until_stopped(stopped).await.unwrap();
            drop(telemetry);
        });
        Self {
            public,
            management,
            metrics,
            stop: Some(stop),
            running,
        }
    }

    /// Stops the service and waits until it has stopped.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        (&mut self.running).await.unwrap();
    }
}

impl Drop for RunningApplication {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}
