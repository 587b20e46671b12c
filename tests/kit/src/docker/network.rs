//! A Docker network that removes itself.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{LIMIT, docker, inspect};
use crate::{unique, wait};

/// A network of any driver.
#[derive(Debug)]
pub struct Network {
    name: String,
    id: String,
    removed: bool,
}

impl Network {
    /// `docker network create -d DRIVER OPTIONS… NAME`.
    pub fn create(driver: &str, options: &[&str]) -> Result<Self> {
        let name = unique("net");
        let mut arguments = vec!["network", "create", "-d", driver];
        arguments.extend(options);
        arguments.push(&name);
        let id = docker(&arguments)?;
        Ok(Self { name, id, removed: false })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Docker's id of it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `docker network inspect`.
    pub fn inspect(&self) -> Result<Value> {
        inspect("network", &self.name)
    }

    /// The endpoints that Docker sees on it: endpoint id by container name.
    pub fn endpoints(&self) -> Result<BTreeMap<String, String>> {
        let all = self.inspect()?;
        let containers = all["Containers"].as_object().context("a network lists its containers")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(containers.values().map(|it| (text(&it["Name"]), text(&it["EndpointID"]))).collect())
    }

    /// The gateway's address of the IPAM configuration at `index`, without prefix length.
    pub fn gateway(&self, index: usize) -> Result<String> {
        let all = self.inspect()?;
        let gateway = all["IPAM"]["Config"][index]["Gateway"].as_str();
        let gateway = gateway.with_context(|| format!("network {} has no gateway", self.name))?;
        Ok(gateway.split('/').next().unwrap_or_default().to_owned())
    }

    /// `docker network rm`.
    pub fn remove(mut self) -> Result<()> {
        docker(&["network", "rm", &self.name])?;
        self.removed = true;
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if !self.removed {
            // Containers that are being removed hold it a moment longer.
            let removed = wait::until_ok(LIMIT, "the network is removed", || {
                let left = docker(&["network", "rm", &self.name]);
                left.or_else(|error| match inspect("network", &self.name) {
                    Err(_) => Ok(String::new()),
                    Ok(_) => Err(error),
                })
            });
            if let Err(error) = removed {
                eprintln!("left behind: network {}: {error:#}", self.name);
            }
        }
    }
}
