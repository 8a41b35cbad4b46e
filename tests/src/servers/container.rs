//! A server in a container, by testcontainers.

use super::clock::{Clock, Time};
use super::guard::Guard;
use super::server::Server;
use super::{ATTEMPTS, POLL_EACH, Packaged, Place, free_port, in_time, port_was_taken, unique_name};
use async_trait::async_trait;
use std::collections::HashMap;
use std::error::Error;
use std::marker::PhantomData;
use std::path::Path;
use std::thread;
use std::time::Duration;
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::PortBinding;
use testcontainers::bollard::query_parameters::RemoveContainerOptionsBuilder;
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::{AccessMode, Mount};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};
use tokio::runtime;
use tokio::time::{sleep, timeout};

/// What a Docker engine may take to say that it is there.
const ENGINE_WITHIN: Duration = Duration::from_secs(5);

/// Where a container finds its own clock.
const CLOCK: &str = "/linchpin-clock";

/// A container of our own, published on one loopback port for as long as it exists.
pub(super) struct Container<S> {
    docker: Docker,
    name: String,
    port: u16,
    // Taken at drop, before the guard goes.
    owned: Option<ContainerAsync<GenericImage>>,
    clock: Option<Clock>,
    _guard: Guard,
    software: PhantomData<S>,
}

/// The Docker engine, if it answers.
pub(super) async fn engine() -> Result<Docker, String> {
    let ask = async {
        let docker = docker_client_instance().await.map_err(|error| chain(&error))?;
        docker.ping().await.map_err(|error| chain(&error))?;
        Ok(docker)
    };
    timeout(ENGINE_WITHIN, ask).await.unwrap_or_else(|_| Err("no answer".to_owned())).map_err(|error: String| {
        format!("no Docker engine answers ({error}): run `make setup`, or set LINCHPIN_TEST_SERVERS=local")
    })
}

impl<S: Packaged> Container<S> {
    pub(super) async fn start(docker: Docker, image: &str, time: Time) -> Result<Self, String> {
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            match Self::start_on(docker.clone(), image, free_port()?, time).await {
                Ok(server) => return Ok(server),
                Err(error) => failure = error,
            }
            if !port_was_taken(&failure) {
                break;
            }
        }
        Err(format!(
            "{failure}\nThe image is {image} (LINCHPIN_TEST_{}_IMAGE); `make setup` provides one, \
             LINCHPIN_TEST_SERVERS=local does without",
            S::NAME.to_uppercase()
        ))
    }

    async fn start_on(docker: Docker, image: &str, port: u16, time: Time) -> Result<Self, String> {
        let name = unique_name::<S>();
        let guard = Guard::set(r#"docker rm -fv "$1""#, &[&name])?;
        let clock = Clock::make::<S>(time).await?;
        let request = request::<S>(image, &Place { name: &name, port, folder: None });
        match Box::pin(with_clock(request, clock.as_ref()).start()).await {
            Ok(container) => {
                let owned = Some(container);
                let server = Self { docker, name, port, owned, clock, _guard: guard, software: PhantomData };
                server.ready().await?;
                Ok(server)
            }
            Err(error) => {
                // testcontainers leaves behind what it created and could not start.
                let remove = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                let _ = docker.remove_container(&name, Some(remove)).await;
                Err(format!("cannot start a container: {}", chain(&error)))
            }
        }
    }

    async fn ready(&self) -> Result<(), String> {
        let ready = in_time(async {
            while !S::answers(&self.place()).await {
                sleep(POLL_EACH).await;
            }
            Ok(())
        });
        let Err(error) = ready.await else { return Ok(()) };
        let log = match &self.owned {
            // Redis says all on one of the two, and the others on the other.
            Some(container) => [container.stdout_to_vec().await, container.stderr_to_vec().await],
            None => [Ok(Vec::new()), Ok(Vec::new())],
        };
        let log = log.map(Result::unwrap_or_default).concat();
        Err(format!("container {} on port {} {error}\n{}", self.name, self.port, String::from_utf8_lossy(&log)))
    }

    fn place(&self) -> Place<'_> {
        Place { name: &self.name, port: self.port, folder: None }
    }

    async fn is_running(&self) -> Result<bool, String> {
        let found = self.docker.inspect_container(&self.name, None).await.map_err(|error| chain(&error))?;
        Ok(found.state.and_then(|state| state.running).unwrap_or(false))
    }
}

fn request<S: Packaged>(image: &str, place: &Place<'_>) -> ContainerRequest<GenericImage> {
    // A colon before a slash is a registry's port, and not a tag's.
    let (image, tag) = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((image, "latest"));
    let port = place.port;
    let named = GenericImage::new(image, tag).with_container_name(place.name);
    let request = S::ENVIRONMENT.iter().fold(named, |request, (name, value)| request.with_env_var(*name, *value));
    request.with_cmd(S::arguments(place, &[])).with_host_config_modifier(move |host| {
        let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(port.to_string()) };
        host.publish_all_ports = None;
        host.port_bindings = Some(HashMap::from([(format!("{}/tcp", S::PORT), Some(vec![binding]))]));
    })
}

fn with_clock(request: ContainerRequest<GenericImage>, clock: Option<&Clock>) -> ContainerRequest<GenericImage> {
    let Some(clock) = clock else { return request };
    let mount = Mount::bind_mount(clock.folder().display().to_string(), CLOCK).with_access_mode(AccessMode::ReadOnly);
    let variables = Clock::environment(Path::new(CLOCK));
    variables.into_iter().fold(request.with_mount(mount), |request, (name, value)| request.with_env_var(name, value))
}

#[async_trait]
impl<S: Packaged> Server for Container<S> {
    fn url(&self) -> String {
        S::url(self.port, &[])
    }

    fn origin(&self) -> &'static str {
        "container"
    }

    async fn pause(&self) -> Result<(), String> {
        self.docker.pause_container(&self.name).await.map_err(|error| chain(&error))
    }

    async fn resume(&self) -> Result<(), String> {
        self.docker.unpause_container(&self.name).await.map_err(|error| chain(&error))
    }

    async fn step_clock(&self, by: i64) -> Result<bool, String> {
        self.clock.as_ref().map_or(Ok(false), |clock| clock.step(by).map(|()| true))
    }

    async fn kill(&self) -> Result<(), String> {
        self.docker.kill_container(&self.name, None).await.map_err(|error| chain(&error))
    }

    async fn restart(&self) -> Result<(), String> {
        if self.is_running().await? {
            self.kill().await?;
        }
        self.docker.start_container(&self.name, None).await.map_err(|error| chain(&error))?;
        self.ready().await
    }
}

impl<S> Drop for Container<S> {
    /// On a thread and a runtime of its own: a container that testcontainers drops panics outside of one.
    fn drop(&mut self) {
        let Some(container) = self.owned.take() else { return };
        let removal = thread::spawn(move || {
            let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
            let _ = runtime.block_on(container.rm());
        });
        let _ = removal.join();
    }
}

/// An error and those of its causes that it does not tell itself.
fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = error.source();
    }
    told
}
